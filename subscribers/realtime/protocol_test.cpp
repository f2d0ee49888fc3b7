// Proves that requests are read as PROTOCOL.md says, each kind of mistake with its code, and that the binary headers
// are the bytes that clients rely on.
#include "subscribers/realtime/protocol.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstddef>
#include <random>

namespace millrace::gateway::protocol {
namespace {

Request good(std::string_view text) {
  auto parsed = parse_request(text);
  const auto* wrong = std::get_if<RequestError>(&parsed);
  EXPECT_EQ(wrong, nullptr) << text << ": " << (wrong ? wrong->message : "");
  return wrong ? Request{} : std::get<Request>(std::move(parsed));
}
Subscribe subscribe(std::string_view fields) {
  return std::get<Subscribe>(good(R"({"op":"subscribe","topic":"t")" + std::string(fields) + "}").what);
}
std::string code(std::string_view text) {
  const auto parsed = parse_request(text);
  const auto* wrong = std::get_if<RequestError>(&parsed);
  return wrong ? std::string(to_string(wrong->name)) : "good";
}

TEST(ProtocolTest, SubscribeHasSensibleDefaults) {
  const Subscribe request = subscribe("");
  EXPECT_EQ(request.topic, "t");
  EXPECT_TRUE(std::holds_alternative<Live>(request.start));
  EXPECT_EQ(request.encoding, Encoding::json);
  EXPECT_TRUE(request.filter.field.empty());
}

TEST(ProtocolTest, EveryStartIsUnderstood) {
  EXPECT_TRUE(std::holds_alternative<Live>(subscribe(R"(,"start":"live")").start));
  EXPECT_TRUE(std::holds_alternative<Earliest>(subscribe(R"(,"start":"earliest")").start));
  EXPECT_EQ(std::get<Offset>(subscribe(R"(,"start":{"offset":18446744073709551615})").start),
            Offset(18'446'744'073'709'551'615u));
  EXPECT_EQ(std::get<WallTime>(subscribe(R"(,"start":{"time":5})").start), WallTime{5});
  EXPECT_EQ(std::get<WallTime>(subscribe(R"(,"start":{"time":"1970-01-01T00:00:01Z"})").start),
            WallTime{1'000'000'000});
  const auto position = std::get<Position>(
      subscribe(R"(,"start":{"offset":3,"run":2,"log_id":"000102030405060708090a0b0c0d0e0f"})").start);
  EXPECT_EQ(position.offset, Offset(3));
  EXPECT_EQ(position.run.value(), 2u);
  EXPECT_EQ(position.log_id.bytes[15], 15);
}

TEST(ProtocolTest, AFilterNamesOneFieldAndOneOrMoreValues) {
  const Filter one = subscribe(R"(,"filter":{"instrument":"X"})").filter;
  EXPECT_EQ(one.field, "instrument");
  EXPECT_EQ(one.values, std::vector<std::string>{"X"});
  EXPECT_EQ(subscribe(R"(,"filter":{"account":["a","b"]})").filter.values.size(), 2u);
}

TEST(ProtocolTest, IdsComeBackAsTheyWere) {
  EXPECT_EQ(good(R"({"op":"ping","id":17})").id, "17");
  EXPECT_EQ(good(R"({"op":"ping","id":"a\"b"})").id, R"("a\"b")");
  EXPECT_EQ(good(R"({"op":"ping"})").id, "null");
  const auto parsed = parse_request(R"({"op":"fly","id":3})");
  EXPECT_EQ(std::get<RequestError>(parsed).id, "3");
}

StartReplay replay(std::string_view fields) {
  return std::get<StartReplay>(good(R"({"op":"replay","topics":["t"])" + std::string(fields) + "}").what);
}

TEST(ProtocolTest, AReplayHasSensibleDefaults) {
  const StartReplay request = replay("");
  EXPECT_EQ(request.topics, std::vector<std::string>{"t"});
  EXPECT_TRUE(std::holds_alternative<Earliest>(request.from));
  EXPECT_FALSE(request.to);
  EXPECT_EQ(request.speed, historical::as_fast_as_possible);
  EXPECT_TRUE(request.filter.field.empty());
  EXPECT_EQ(request.encoding, Encoding::json);
  EXPECT_EQ(request.level, Level::recorded);
  EXPECT_FALSE(request.paused);
  EXPECT_FALSE(request.follow);
}

TEST(ProtocolTest, AReplayIsOfARangeOfOffsetsOrTimes) {
  const StartReplay offsets = replay(R"(,"from":{"offset":5},"to":{"offset":5})");
  EXPECT_EQ(std::get<Offset>(offsets.from), Offset(5));
  EXPECT_EQ(std::get<Offset>(*offsets.to), Offset(5));
  const StartReplay times = std::get<StartReplay>(
      good(R"({"op":"replay","topics":["b","a"],"from":{"time":"1970-01-01T00:00:01Z"},"to":{"time":2000000000},)"
           R"("filter":{"instrument":["X","Y"]},"format":"binary","level":"synced","paused":true})")
          .what);
  EXPECT_EQ(times.topics, (std::vector<std::string>{"b", "a"})) << "in the order in which they were named";
  EXPECT_EQ(std::get<WallTime>(times.from), WallTime{1'000'000'000});
  EXPECT_EQ(std::get<WallTime>(*times.to), WallTime{2'000'000'000});
  EXPECT_EQ(times.filter.values.size(), 2u);
  EXPECT_EQ(times.encoding, Encoding::binary);
  EXPECT_EQ(times.level, Level::synced);
  EXPECT_TRUE(times.paused);
  EXPECT_TRUE(replay(R"(,"from":"earliest","follow":true)").follow);
  const auto of_each =
      std::get<StartReplay>(good(R"({"op":"replay","topics":["b","a"],"from":{"offsets":[17,40]}})").what);
  EXPECT_EQ(of_each.offsets, (std::vector<Offset>{Offset(17), Offset(40)}));
}

TEST(ProtocolTest, ASpeedIsANumberOrAText) {
  const auto speed = [](const std::string& text) { return replay(",\"speed\":" + text).speed.thousandths; };
  EXPECT_EQ(speed(R"("max")"), 0);
  EXPECT_EQ(speed("1"), 1'000);
  EXPECT_EQ(speed("0.5"), 500);
  EXPECT_EQ(speed("2.0"), 2'000);
  EXPECT_EQ(speed("0.001"), 1);
  EXPECT_EQ(speed("1e2"), 100'000);
  EXPECT_EQ(speed("1000000"), 1'000'000'000);
  EXPECT_EQ(speed(R"("10x")"), 10'000);
  EXPECT_EQ(speed(R"("0.5")"), 500);
  for (const std::string wrong :
       {"0", "-1", "0.0001", "1000001", "1e300", "null", "true", "[]", R"("fast")", R"("")"}) {
    EXPECT_EQ(code(R"({"op":"replay","topics":["t"],"speed":)" + wrong + "}"), "bad_speed") << wrong;
    EXPECT_EQ(code(R"({"op":"speed","subscription":1,"speed":)" + wrong + "}"), "bad_speed") << wrong;
  }
}

TEST(ProtocolTest, WhatAReplayCannotBeIsNamed) {
  const auto replay_code = [](const std::string& fields) { return code(R"({"op":"replay",)" + fields + "}"); };
  for (const std::string topics : {R"("id":1)", R"("topics":"t")", R"("topics":[])", R"("topics":[1])",
                                   R"("topics":["t","t"])", R"("topics":["1","2","3","4","5","6","7","8","9"])"}) {
    EXPECT_EQ(replay_code(topics), "bad_request") << topics;
  }
  const auto one = [&](const std::string& fields) { return replay_code(R"("topics":["t"],)" + fields); };
  for (const std::string start :
       {R"("from":"live")", R"("from":5)", R"("from":{"offset":-1})", R"("from":{"time":"noon"})",
        R"("from":{"offset":1,"log_id":"000102030405060708090a0b0c0d0e0f","run":1})", R"("to":"earliest")",
        R"("to":{"time":"2026-02-30T00:00:00Z"})", R"("from":{"offset":5},"to":{"offset":4})",
        R"("from":{"time":5},"to":{"time":4})", R"("follow":true,"to":{"offset":4})"}) {
    EXPECT_EQ(one(start), "bad_start") << start;
  }
  EXPECT_EQ(replay_code(R"("topics":["t","u"],"from":{"offset":1})"), "bad_start");
  for (const std::string wrong : {"[1]", "[1,2,3]", "[1,-2]", R"([1,"2"])", "1", "[]"}) {
    EXPECT_EQ(replay_code(R"("topics":["t","u"],"from":{"offsets":)" + wrong + "}"), "bad_start") << wrong;
  }
  EXPECT_EQ(one(R"("from":{"offsets":[1],"time":1})"), "bad_start");
  EXPECT_EQ(replay_code(R"("topics":["t","u"],"to":{"offset":1})"), "bad_start");
  EXPECT_EQ(one(R"("filter":{"a":"b","c":"d"})"), "bad_filter");
  EXPECT_EQ(one(R"("format":"csv")"), "bad_format");
  EXPECT_EQ(one(R"("level":"live")"), "bad_level");
  EXPECT_EQ(one(R"("paused":1)"), "bad_request");
  EXPECT_EQ(one(R"("follow":"yes")"), "bad_request");
  EXPECT_EQ(one(R"("start":"earliest")"), "bad_request") << "a field of subscribe";
}

TEST(ProtocolTest, AReplayIsSteered) {
  const auto steer = [](const std::string& text) { return std::get<Steer>(good(text).what); };
  EXPECT_EQ(steer(R"({"op":"pause","subscription":3})").what, Steer::What::pause);
  EXPECT_EQ(steer(R"({"op":"resume","subscription":3})").what, Steer::What::resume);
  EXPECT_EQ(steer(R"({"op":"step","subscription":3})").count, 1u);
  EXPECT_EQ(steer(R"({"op":"step","subscription":3,"count":7})").count, 7u);
  EXPECT_EQ(steer(R"({"op":"speed","subscription":3,"speed":0.25})").speed.thousandths, 250);
  const Steer seek = steer(R"({"op":"seek","subscription":3,"to":{"offset":9}})");
  EXPECT_EQ(seek.subscription, 3u);
  EXPECT_EQ(std::get<Offset>(seek.to), Offset(9));
  EXPECT_TRUE(std::holds_alternative<Earliest>(steer(R"({"op":"seek","subscription":3,"to":"earliest"})").to));
  EXPECT_EQ(code(R"({"op":"pause"})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"pause","subscription":4294967296})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"pause","subscription":1,"count":2})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"step","subscription":1,"count":0})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"speed","subscription":1})"), "bad_speed");
  EXPECT_EQ(code(R"({"op":"seek","subscription":1})"), "bad_start");
  EXPECT_EQ(code(R"({"op":"seek","subscription":1,"to":"live"})"), "bad_start");
}

TEST(ProtocolTest, ABatchHasDefaultsAndBounds) {
  EXPECT_FALSE(subscribe("").batch);
  EXPECT_FALSE(subscribe(R"(,"mode":"stream")").batch);
  const auto defaults = subscribe(R"(,"mode":"batched")").batch;
  ASSERT_TRUE(defaults);
  EXPECT_EQ(defaults->age, std::chrono::milliseconds(100));
  EXPECT_EQ(defaults->count, 10'000u);
  EXPECT_EQ(defaults->bytes, 131'072u);
  const auto most = subscribe(R"(,"mode":"batched","batch":{"age_ms":60000,"count":65536,"bytes":1048576})").batch;
  ASSERT_TRUE(most);
  EXPECT_EQ(most->age, std::chrono::seconds(60));
  EXPECT_EQ(most->count, 65'536u);
  EXPECT_EQ(most->bytes, 1'048'576u);
  for (const std::string_view wrong :
       {R"("mode":"slow")", R"("mode":1)", R"("batch":{})", R"("mode":"stream","batch":{"count":5})",
        R"("mode":"batched","batch":5)", R"("mode":"batched","batch":{"age":5})",
        R"("mode":"batched","batch":{"age_ms":0})", R"("mode":"batched","batch":{"age_ms":60001})",
        R"("mode":"batched","batch":{"count":0})", R"("mode":"batched","batch":{"count":65537})",
        R"("mode":"batched","batch":{"count":"5"})", R"("mode":"batched","batch":{"bytes":1023})",
        R"("mode":"batched","batch":{"bytes":1048577})", R"("mode":"batched","batch":{"bytes":-1})"}) {
    EXPECT_EQ(code(R"({"op":"subscribe","topic":"t",)" + std::string(wrong) + "}"), "bad_mode") << wrong;
  }
}

TEST(ProtocolTest, UnsubscribeNamesASubscription) {
  EXPECT_EQ(std::get<Unsubscribe>(good(R"({"op":"unsubscribe","subscription":4})").what).subscription, 4u);
}

TEST(ProtocolTest, ADurableConsumerIsAtLevelSyncedWhetherItSaysSoOrNot) {
  for (const std::string_view level : {"", R"(,"level":"synced")"}) {
    const auto subscribe = std::get<Subscribe>(
        good(R"({"op":"subscribe","topic":"t","consumer":"risk-1.a_b")" + std::string(level) + "}").what);
    EXPECT_EQ(subscribe.level, Level::synced);
    EXPECT_EQ(subscribe.consumer, "risk-1.a_b");
    EXPECT_FALSE(subscribe.take_over);
  }
  EXPECT_EQ(std::get<Subscribe>(good(R"({"op":"subscribe","topic":"t"})").what).level, Level::recorded);
  EXPECT_TRUE(
      std::get<Subscribe>(good(R"({"op":"subscribe","topic":"t","consumer":"a","take_over":true})").what).take_over);
  const auto ack = std::get<Ack>(good(R"({"op":"ack","subscription":4,"next_offset":18446744073709551615})").what);
  EXPECT_EQ(ack.subscription, 4u);
  EXPECT_EQ(ack.next, Offset(UINT64_MAX));
  EXPECT_EQ(acked("5", 4, Offset(9), Offset(7)),
            R"({"type":"acked","id":5,"subscription":4,"next_offset":9,"checkpoint":7})");
}

TEST(ProtocolTest, EachMistakeHasItsCode) {
  EXPECT_EQ(code(""), "bad_json");
  EXPECT_EQ(code("{"), "bad_json");
  EXPECT_EQ(code("{} x"), "bad_json");
  EXPECT_EQ(code(std::string(100, '[')), "bad_json");
  EXPECT_EQ(code("\xff"), "bad_json");
  EXPECT_EQ(code("[]"), "bad_request");
  EXPECT_EQ(code("{}"), "bad_request");
  EXPECT_EQ(code(R"({"op":1})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"ping","id":1.5})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"ping","id":{}})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"ping","extra":1})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"fly"})"), "unknown_op");
  EXPECT_EQ(code(R"({"op":"subscribe"})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","strat":"live"})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"unsubscribe"})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"unsubscribe","subscription":-1})"), "bad_request");
  for (const std::string_view start :
       {R"("late")", "7", R"({"offset":-1})", R"({"offset":1.5})", R"({"offset":1,"time":2})", R"({"time":"today"})",
        R"({"offset":1,"run":1})", R"({"offset":1,"run":1,"log_id":"zz"})", "{}", R"({"time":1,"x":2})"}) {
    EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","start":)" + std::string(start) + "}"), "bad_start") << start;
  }
  for (const std::string_view filter :
       {"{}", "7", R"({"a":"x","b":"y"})", R"({"a":7})", R"({"a":[]})", R"({"a":[""]})"}) {
    EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","filter":)" + std::string(filter) + "}"), "bad_filter") << filter;
  }
  EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","format":"xml"})"), "bad_format");
  EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","level":"live"})"), "bad_level");
  for (const std::string_view slow :
       {R"("slow":"drop")", R"("slow":null)", R"("queue":9)", R"("slow":"heal","queue":9)",
        R"("slow":"conflate","queue":0)", R"("slow":"disconnect","queue":-1)", R"("slow":"conflate","queue":"9")"}) {
    EXPECT_EQ(code(R"({"op":"subscribe","topic":"t",)" + std::string(slow) + "}"), "bad_slow") << slow;
  }
  EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","on_deleted":true})"), "bad_on_deleted");
  EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","level":7})"), "bad_level");
  EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","level":"recorded","consumer":"a"})"), "bad_level");
  for (const std::string& consumer :
       {std::string(R"("consumer":"")"), std::string(R"("consumer":7)"), std::string(R"("consumer":"Risk")"),
        std::string(R"("consumer":"a b")"), "\"consumer\":\"" + std::string(49, 'a') + '"',
        std::string(R"("take_over":true)"), std::string(R"("consumer":"a","take_over":1)")}) {
    EXPECT_EQ(code(R"({"op":"subscribe","topic":"t",)" + consumer + "}"), "bad_consumer") << consumer;
  }
  for (const std::string_view slow : {"conflate", "disconnect"}) {
    EXPECT_EQ(code(R"({"op":"subscribe","topic":"t","consumer":"a","slow":")" + std::string(slow) + "\"}"), "bad_slow");
  }
  for (const std::string_view ack :
       {R"("next_offset":1)", R"("subscription":1)", R"("subscription":1,"next_offset":-1)",
        R"("subscription":1,"next_offset":"1")", R"("subscription":1,"next_offset":1,"x":1)"}) {
    EXPECT_EQ(code(R"({"op":"ack",)" + std::string(ack) + "}"), "bad_request") << ack;
  }
  EXPECT_EQ(code(R"({"op":"unsubscribe","subscription":1,"next_offset":1})"), "bad_request");
  EXPECT_EQ(code(R"({"op":"books"})"), "bad_request");
}

TEST(ProtocolTest, NoMutationOfARequestBreaksTheParserOrItsAnswer) {
  const std::string seed =
      R"({"op":"subscribe","id":"a","topic":"t","start":{"offset":3,"log_id":"00","run":1},"filter":{"a":["x","y"]}})";
  std::mt19937 random(42);  // the same each time
  for (int round = 0; round < 20'000; ++round) {
    std::string text = seed;
    for (std::uint32_t changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 8);
          break;
        default:
          text.append(text, at, 16);
      }
      if (text.empty()) text = seed;
    }
    const auto parsed = parse_request(text);
    if (const auto* wrong = std::get_if<RequestError>(&parsed)) {
      boost::json::error_code failed;
      (void)boost::json::parse(error(*wrong), failed);
      ASSERT_FALSE(failed) << text << " is answered " << error(*wrong);
    }
  }
}

TEST(ProtocolTest, GapsAndBooksAreTheseMessages) {
  EXPECT_EQ(gap_deleted(2, "t", {Offset(5), Offset(9), 5}),
            R"({"type":"gap","subscription":2,"topic":"t","reason":"deleted","from":5,"to":9,"count":5})");
  EXPECT_EQ(gap_conflated(2, "t", {Offset(5), Offset(9), 3}, Offset(20)),
            R"({"type":"gap","subscription":2,"topic":"t","reason":"conflated","from":5,"to":9,"count":3,)"
            R"("merged_to":20})");
  EXPECT_EQ(gap_not_recorded(2, "t", PublisherId(3), Sequence(5), Sequence(9), Offset(40)),
            R"({"type":"gap","subscription":2,"topic":"t","reason":"not_recorded","publisher":3,"from_sequence":5,)"
            R"("to_sequence":9,"before_offset":40,"count":5})");
  EXPECT_EQ(books("7", "t", SlowPolicy::Kind::conflate, {2, Offset(10), Offset(25), {1, 2, 3, 4, 5, 6}}, Offset(30)),
            R"({"type":"books","id":7,"topic":"t","slow":"conflate","subscription":2,"first_offset":10,)"
            R"("next_offset":25,"books":{"published":15,"delivered":1,"healed":2,"filtered":3,"conflated":4,)"
            R"("skipped":5,"not_recorded":6},"behind":5})");
}

// If one of these fails, clients in the field break: give the message a new magic instead.
TEST(ProtocolTest, TheBinaryHeadersAreTheseBytes) {
  static_assert(sizeof(BinaryHeader) == 40);
  static_assert(offsetof(BinaryHeader, header_size) == 4);
  static_assert(offsetof(BinaryHeader, entry_header_size) == 6);
  static_assert(offsetof(BinaryHeader, subscription) == 8);
  static_assert(offsetof(BinaryHeader, count) == 12);
  static_assert(offsetof(BinaryHeader, first_offset) == 16);
  static_assert(offsetof(BinaryHeader, next_offset) == 24);
  static_assert(offsetof(BinaryHeader, sent_time) == 32);
  const auto header = binary_header(0x0102, Offset(0x11), Offset(0x15), 3, WallTime{0x2233});
  const std::string expected(
      "MRE1"
      "\x28\x00\x20\x00"
      "\x02\x01\x00\x00"
      "\x03\x00\x00\x00"
      "\x11\x00\x00\x00\x00\x00\x00\x00"
      "\x15\x00\x00\x00\x00\x00\x00\x00"
      "\x33\x22\x00\x00\x00\x00\x00\x00",
      40);
  EXPECT_EQ(std::string(header.data(), header.size()), expected);

  static_assert(sizeof(BinaryEntry) == 32);
  const FrameHeader frame{48, 1, 0, 9, 7, 6, 0};
  struct {
    FrameHeader header;
    char payload[8];
  } event{frame, {'p', 'a', 'y', 'l', 'o', 'a', 'd', '!'}};
  EventBlock::Entry entry;
  entry.record_time = {0x44};
  entry.publisher = PublisherId(5);
  entry.epoch = Epoch(6);
  entry.frame_size = sizeof event;
  entry.valid = false;
  std::string out;
  append_binary_event(Offset(0x77), entry, FrameView(reinterpret_cast<const std::byte*>(&event)), out);
  const std::string entry_bytes(
      "\x77\x00\x00\x00\x00\x00\x00\x00"
      "\x44\x00\x00\x00\x00\x00\x00\x00"
      "\x05\x00\x00\x00"
      "\x06\x00\x00\x00"
      "\x01\x00\x00\x00"
      "\x30\x00\x00\x00",
      32);
  ASSERT_EQ(out.size(), 32u + 48u);
  EXPECT_EQ(out.substr(0, 32), entry_bytes);
  EXPECT_EQ(out.substr(72), "payload!");
}

}  // namespace
}  // namespace millrace::gateway::protocol
