// Proves what a replay over WebSocket of a real log may be relied on for: topics merged by record time as the log has
// it, at any speed, steered, on into live without a gap or a duplicate, and after the gateway's death from where the
// last message said; and that what is wrong with a request is told by a code and in words that name it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "bus/base/rfc3339.hpp"
#include "subscribers/realtime/testing/processes.hpp"

namespace millrace::gateway {
namespace {

using testing::becomes;
using testing::connect;
using testing::eventually;
using testing::Feed;
using testing::gateway_pid;
using testing::get;
using ::testing::HasSubstr;
using testing::LoneGateway;
using testing::number;
using testing::recorded_end;
using testing::TestCore;
using testing::topic_info;
using testing::WsClient;
namespace json = boost::json;

std::string text(const json::value& value) {
  return value.as_string().c_str();
}
std::string list(const std::vector<std::uint64_t>& offsets) {
  std::string out = "[";
  for (const std::uint64_t offset : offsets) out += (out.size() > 1 ? "," : "") + std::to_string(offset);
  return out + "]";
}

// One who plays a replay, and checks that of each topic every event comes once and in order, that what is published is
// what comes, and that record times never go back.
class Player {
 public:
  // `fields`: of the request, but for op and topics. `first`: where each topic begins.
  Player(std::uint16_t port, std::vector<std::string> topics, const std::string& fields,
         std::vector<std::uint64_t> first)
      : client(port), topics_(std::move(topics)), next(std::move(first)) {
    std::string names;
    for (const std::string& topic : topics_) names += (names.empty() ? "\"" : ",\"") + topic + '"';
    begun = ask(R"({"op":"replay","topics":[)" + names + ']' + fields + '}', "replaying");
    EXPECT_EQ(begun.is_null() ? "refused" : json::serialize(begun.at("next_offsets")), list(next));
  }

  json::value ask(const std::string& request, std::string_view answer = "replay_state") {
    client.send(request);
    while (auto message = one()) {
      if (message->at("type") == json::string_view(answer.data(), answer.size())) return std::move(*message);
      if (message->at("type") == "error") {
        ADD_FAILURE() << *message;
        return nullptr;
      }
    }
    return nullptr;
  }
  // Takes the next message, which it returns. None: the connection has ended.
  std::optional<json::value> one() {
    const auto message = client.receive();
    if (!message) return std::nullopt;
    json::value parsed = json::parse(*message);
    if (parsed.at("type") == "replay_events") take(parsed);
    if (parsed.at("type") == "replayed") ended = parsed;
    return parsed;
  }
  bool until(const std::function<bool()>& done) {
    while (!done()) {
      if (!one() || ::testing::Test::HasFailure()) return false;
    }
    return true;
  }
  bool to_the_end() {
    return until([&] { return !ended.is_null(); });
  }
  // A seek: the next event is that one.
  void jumps_to(std::size_t topic, std::uint64_t offset) {
    next[topic] = offset;
    last_time.clear();
  }

  WsClient client;

 private:
  std::vector<std::string> topics_;

 public:
  std::vector<std::uint64_t> next;
  json::value begun;
  json::value ended;
  std::uint64_t count = 0;
  std::uint64_t turns = 0;  // times that an event was of another topic than the one before
  std::string last_time;    // as RFC 3339, all alike long
  std::string last_offsets = "none";

 private:
  void take(const json::value& message) {
    ASSERT_EQ(number(message.at("count")), message.at("events").as_array().size());
    for (const json::value& event : message.at("events").as_array()) {
      const auto at = std::find(topics_.begin(), topics_.end(), text(event.at("topic")));
      ASSERT_NE(at, topics_.end());
      const std::size_t topic = static_cast<std::size_t>(at - topics_.begin());
      ASSERT_EQ(number(event.at("offset")), next[topic]) << topics_[topic];
      ++next[topic];
      ASSERT_EQ(number(event.at("sequence")), next[topic]);
      if (topics_[topic] == "trade_events") {
        ASSERT_EQ(std::stoull(text(event.at("data").at("buy_order_id"))), next[topic]);
      }
      const std::string time = text(event.at("record_time"));
      ASSERT_GE(time, last_time) << "merged by record time";
      last_time = time;
      turns += topic != last_topic_;
      last_topic_ = topic;
      ++count;
    }
    last_offsets = json::serialize(message.at("next_offsets"));
    ASSERT_EQ(last_offsets, list(next));
  }

  std::size_t last_topic_ = 0;
};

// Publishes books beside the trades of a Feed, each stage recorded before the next begins.
void publish_both(Bus& bus, std::uint64_t stages, std::uint64_t each) {
  auto trades = std::move(*bus.publisher("trade_events", "maker"));
  auto books = std::move(*bus.publisher("market_l2", "maker"));
  const auto recorded = [](Publisher& publisher) {
    return eventually([&] {
      publisher.idle();
      return publisher.recorded_sequence().next() >= publisher.next_sequence();
    });
  };
  for (std::uint64_t stage = 0; stage < stages; ++stage) {
    for (std::uint64_t i = 0; i < each; ++i) {
      const std::uint64_t sequence = trades.next_sequence().value();
      ASSERT_TRUE(eventually([&] {
        return bool(trades.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
          trade.mutate_buy_order_id(sequence);
          schemas::set_text(trade.mutable_instrument(), "MILL");
        }));
      }));
      ASSERT_TRUE(eventually([&] {
        return bool(books.publish<schemas::MarketL2>(
            [&](schemas::MarketL2& book) { schemas::set_text(book.mutable_instrument(), "MILL"); }));
      }));
    }
    ASSERT_TRUE(recorded(trades) && recorded(books));
  }
}

bool gateway_has(std::uint16_t port, const std::string& topic, std::uint64_t end) {
  return eventually([&] { return number(topic_info(port, topic).at("next_offset")) >= end; });
}

TEST(GatewayReplay, TwoTopicsComeMergedAsFastAsTheyCanAndPaced) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "65536"});
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  ASSERT_NO_FATAL_FAILURE(publish_both(*bus, 50, 20));
  ASSERT_TRUE(gateway_has(port, "trade_events", 1'000) && gateway_has(port, "market_l2", 1'000));
  // Fifty times as fast it still takes as long as the recording, by that.
  for (const std::string speed : {"\"max\"", "50"}) {
    Player player(port, {"market_l2", "trade_events"}, R"(,"speed":)" + speed, {0, 0});
    const auto began = std::chrono::steady_clock::now();
    ASSERT_TRUE(player.to_the_end());
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_EQ(player.count, 2'000u);
    EXPECT_EQ(player.next, (std::vector<std::uint64_t>{1'000, 1'000}));
    EXPECT_GE(player.turns, 50u) << "each stage was recorded before the next";
    EXPECT_EQ(json::serialize(player.ended.at("next_offsets")), "[1000,1000]");
    if (speed != "50") continue;
    const auto time_of = [&](std::uint64_t offset) {
      const auto page = get(port, "/v1/topics/trade_events/events?limit=1&from=" + std::to_string(offset));
      return *parse_time(text(page.at("events").at(0).at("record_time")));
    };
    // The first is due when it is found, which may be before its client is told that it has begun.
    EXPECT_GE(took + std::chrono::milliseconds(20), (time_of(999) - time_of(0)) / 50);
  }
}

TEST(GatewayReplay, ItIsPausedSteppedSoughtAndResumed) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "65536", "--heartbeat-ms", "20"});
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  ASSERT_NO_FATAL_FAILURE(publish_both(*bus, 20, 50));
  ASSERT_TRUE(gateway_has(port, "trade_events", 1'000) && gateway_has(port, "market_l2", 1'000));
  Player player(port, {"trade_events", "market_l2"}, R"(,"paused":true)", {0, 0});
  const std::string about = R"("subscription":)" + json::serialize(player.begun.at("subscription"));
  for (int heartbeats = 0; heartbeats < 3;) heartbeats += player.one()->at("type") == "heartbeat";
  EXPECT_EQ(player.count, 0u) << "paused";
  for (const std::uint64_t steps : {1u, 7u, 500u}) {
    const std::uint64_t before = player.count;
    player.client.send(R"({"op":"step",)" + about + R"(,"count":)" + std::to_string(steps) + "}");
    ASSERT_TRUE(player.until([&] { return player.count == before + steps; }));
    for (int heartbeats = 0; heartbeats < 2;) heartbeats += player.one()->at("type") == "heartbeat";
    EXPECT_EQ(player.count, before + steps) << "and not one more";
  }
  // Back to the beginning of the last stage but one; the other topic goes to its time.
  const auto sought = player.ask(R"({"op":"seek",)" + about + R"(,"to":{"offset":900}})");
  ASSERT_FALSE(sought.is_null());
  player.jumps_to(0, 900);
  player.jumps_to(1, number(sought.at("next_offsets").at(1)));
  EXPECT_GE(player.next[1], 850u) << "no earlier than the stage before";
  EXPECT_LE(player.next[1], 950u) << "nor later than its own";
  EXPECT_EQ(sought.at("paused"), true);
  player.client.send(R"({"op":"step",)" + about + R"(,"count":10})");
  ASSERT_TRUE(player.until([&] { return player.count == 518; }));
  EXPECT_EQ(player.ask(R"({"op":"speed",)" + about + R"(,"speed":0.001})").at("speed"), "0.001");
  EXPECT_EQ(player.ask(R"({"op":"resume",)" + about + "}").at("paused"), false);
  // A thousandth of the pace: even the last events of one stage take their time. The pause holds what is left.
  EXPECT_EQ(player.ask(R"({"op":"pause",)" + about + "}").at("paused"), true);
  EXPECT_TRUE(player.ended.is_null());
  player.ask(R"({"op":"speed",)" + about + R"(,"speed":"max"})");
  player.ask(R"({"op":"resume",)" + about + "}");
  ASSERT_TRUE(player.to_the_end());
  EXPECT_EQ(player.next, (std::vector<std::uint64_t>{1'000, 1'000}));
}

TEST(GatewayReplay, WhileEventsGoOnItFollowsIntoLiveWithNeitherGapNorDuplicate) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "65536"});
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  Feed feed(*bus, "maker", 32);
  ASSERT_TRUE(gateway_has(port, "trade_events", 10'000));
  for (int round = 0; round < 5; ++round) {
    Player player(port, {"trade_events"}, R"(,"from":{"offset":100},"follow":true)", {100});
    ASSERT_TRUE(player.to_the_end());
    const std::uint64_t followed_by = number(player.ended.at("followed_by").at(0));
    const auto subscribed = player.client.receive_type("subscribed");
    EXPECT_EQ(number(subscribed.at("subscription")), followed_by);
    std::uint64_t next = player.next[0];
    EXPECT_EQ(number(subscribed.at("first_offset")), next);
    const std::uint64_t wanted = next + 5'000;
    while (next < wanted) {
      const auto message = player.client.receive();
      ASSERT_TRUE(message);
      const auto parsed = json::parse(*message);
      ASSERT_TRUE(parsed.at("type") == "events" || parsed.at("type") == "heartbeat") << parsed;
      if (parsed.at("type") == "heartbeat") continue;
      ASSERT_EQ(number(parsed.at("subscription")), followed_by);
      for (const auto& event : parsed.at("events").as_array()) {
        ASSERT_EQ(number(event.at("offset")), next++);
        ASSERT_EQ(std::stoull(text(event.at("data").at("buy_order_id"))), next);
      }
    }
  }
}

TEST(GatewayReplay, KilledInTheMidstOfItTheNextGatewayGoesOnFromTheLastNextOffsets) {
  TestCore core("", false);
  const std::uint16_t port = testing::free_port();
  testing::with_gateway(core, port);
  core.start();
  auto bus = connect(core);
  ASSERT_TRUE(becomes(port, 200));
  ASSERT_NO_FATAL_FAILURE(publish_both(*bus, 60, 500));
  ASSERT_TRUE(gateway_has(port, "trade_events", 30'000) && gateway_has(port, "market_l2", 30'000));
  const std::vector<std::string> topics{"trade_events", "market_l2"};
  std::vector<std::uint64_t> next{0, 0};
  const auto from = [&] { return R"(,"from":{"offsets":)" + list(next) + "}"; };
  for (int death = 0; death < 3; ++death) {
    const pid_t pid = gateway_pid(*bus);
    ASSERT_GT(pid, 0);
    Player player(port, topics, from(), next);
    ASSERT_TRUE(player.until([&] { return player.count > 5'000; }));
    ::kill(pid, SIGKILL);
    // What has reached the socket may still be read, to the end of a whole message.
    while (player.one()) {
    }
    ASSERT_FALSE(HasFailure());
    EXPECT_TRUE(player.ended.is_null()) << "it was not at its end";
    EXPECT_EQ(player.last_offsets, list(player.next));
    next = player.next;
    ASSERT_TRUE(eventually([&] {
      const pid_t heir = gateway_pid(*bus);
      return heir != 0 && heir != pid;
    })) << "the core starts it again";
    ASSERT_TRUE(becomes(port, 200));
  }
  Player last(port, topics, from(), next);
  ASSERT_TRUE(last.to_the_end());
  EXPECT_EQ(last.next, (std::vector<std::uint64_t>{30'000, 30'000}));
}

TEST(GatewayReplay, WhatIsWrongWithARequestIsToldByCodeAndInWords) {
  TestCore core("[topics.trade_events]\nsegment_bytes = \"1 MiB\"\nretention_bytes = \"2 MiB\"\n");
  LoneGateway gateway(core);
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  {
    Feed feed(*bus, "maker", 32);
    ASSERT_TRUE(eventually([&] { return number(topic_info(port).at("first_offset")) > 0; }));
  }
  const std::uint64_t end = recorded_end(*bus);
  ASSERT_TRUE(gateway_has(port, "trade_events", end));
  const std::uint64_t first = number(topic_info(port).at("first_offset"));
  WsClient client(port);
  const auto refused = [&](const std::string& request, const std::string& code, const std::string& words) {
    client.send(request);
    const auto error = client.receive_type("error");
    ASSERT_FALSE(error.is_null()) << request;
    EXPECT_EQ(text(error.at("code")), code) << request;
    EXPECT_THAT(text(error.at("message")), HasSubstr(words)) << request;
    EXPECT_EQ(error.at("id"), 5);
  };
  const auto bad = [&](const std::string& fields, const std::string& code, const std::string& words) {
    refused(R"({"op":"replay","id":5,"topics":["trade_events"],)" + fields + "}", code, words);
  };
  const auto offset = [](const char* name, std::uint64_t at) {
    return '"' + std::string(name) + R"(":{"offset":)" + std::to_string(at) + "}";
  };
  bad(offset("from", end) + "," + offset("to", end - 1), "bad_start", "the range is reversed");
  bad(R"("from":{"time":"2026-03-02T10:00:00Z"},"to":{"time":"2026-03-02T09:30:00Z"})", "bad_start", "reversed");
  bad(offset("from", end + 1), "offset_ahead", std::to_string(end));
  bad(offset("to", end + 1), "offset_ahead", "'to' is beyond the topic's next offset, " + std::to_string(end));
  bad(offset("from", 0), "offset_deleted", "offset 0 is deleted; the first there is: ");
  refused(R"({"op":"replay","id":5,"topics":["nothing"]})", "unknown_topic", "there is no topic 'nothing'");
  bad(R"("filter":{"colour":"red"})", "bad_filter", "trade_events: this topic can be filtered by: ");
  bad(R"("from":{"time":"noon"})", "bad_start", "'from' is none of");
  bad(R"("format":"csv")", "bad_format", R"('format' is neither "json" nor "binary")");
  bad(R"("speed":0)", "bad_speed", R"('speed' is neither "max" nor a factor from 0.001 to 1000000)");
  bad(R"("speed":"fast")", "bad_speed", "'speed'");
  bad(R"("colour":"red")", "bad_request", "unknown field 'colour' in 'replay'");
  refused(R"({"op":"seek","id":5,"subscription":1,"to":"earliest"})", "unknown_subscription", "no replay 1");
  // A time before the oldest event begins with that, and says so. No number was used up by what was refused.
  client.send(R"({"op":"replay","id":6,"topics":["trade_events"],"from":{"time":1},"paused":true})");
  const auto begun = client.receive_type("replaying");
  ASSERT_FALSE(begun.is_null());
  EXPECT_EQ(begun.at("subscription"), 1);
  EXPECT_GE(number(begun.at("next_offsets").at(0)), first);
  EXPECT_EQ(begun.at("deleted_before"), begun.at("next_offsets"));
}

}  // namespace
}  // namespace millrace::gateway
