// Proves what a replay over WebSocket may be relied on for: every event of its topics once, merged by record time, as
// far as its client reads; and that it does what it is told on the way, and goes on into live without a gap.
#include "subscribers/realtime/paced_replay.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;
using testing::number;
namespace json = boost::json;

class ReplayTest : public testing::WithGateway {
 protected:
  ReplayTest() { options_.heartbeat = std::chrono::milliseconds(20); }
  void publish(std::size_t topic, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) source_.publish_numbered(topic, i % 2 == 0 ? "A" : "B");
  }
  static json::value ask(WsClient& client, const std::string& request, std::string_view answer = "replay_state") {
    client.send(request);
    return client.receive_type(answer);
  }
  static std::string refusal(WsClient& client, const std::string& request) {
    const auto error = ask(client, request, "error");
    return error.is_null() ? "closed" : error.at("code").as_string().c_str();
  }
  // Takes events until the replay is at its end, which it returns.
  static json::value to_the_end(WsClient& client, std::vector<json::value>& events) {
    while (const auto message = client.receive()) {
      auto parsed = json::parse(*message);
      if (parsed.at("type") == "replayed" || parsed.at("type") == "error") return parsed;
      if (parsed.at("type") != "replay_events") continue;
      EXPECT_EQ(parsed.at("events").as_array().size(), number(parsed, "count"));
      for (const auto& event : parsed.at("events").as_array()) events.push_back(event);
    }
    return {{"type", "closed"}};
  }
};

TEST_F(ReplayTest, TopicsComeMergedByRecordTime) {
  publish(0, 3'000);
  publish(1, 2'000);
  start();
  WsClient client(gateway_->port());
  const auto begun = ask(client, R"({"op":"replay","id":7,"topics":["market_l2","trade_events"]})", "replaying");
  EXPECT_EQ(begun.at("id"), 7);
  EXPECT_EQ(begun.at("speed"), "max");
  std::vector<json::value> events;
  const auto end = to_the_end(client, events);
  EXPECT_EQ(end.at("type"), "replayed");
  EXPECT_EQ(number(end, "count"), 5'000u);
  EXPECT_EQ(json::serialize(end.at("next_offsets")), "[2000,3000]");
  ASSERT_EQ(events.size(), 5'000u);
  std::uint64_t books = 0;
  std::uint64_t trades = 0;
  for (const auto& event : events) {
    const bool book = event.at("topic") == "market_l2";
    ASSERT_EQ(number(event, "offset"), book ? books++ : trades++);
    // At the same time the topic that was named first comes first.
    ASSERT_TRUE(books >= 2'000 || books == trades || books == trades + 1);
  }
}

TEST_F(ReplayTest, ARangeAndAFilterLeaveTheRestOut) {
  publish(0, 100);
  start();
  WsClient client(gateway_->port());
  std::vector<json::value> events;
  client.send(
      R"({"op":"replay","topics":["trade_events"],"from":{"offset":10},"to":{"offset":20},"filter":{"instrument":"B"}})");
  (void)to_the_end(client, events);
  ASSERT_EQ(events.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(number(events[i], "offset"), 11 + 2 * i);
  events.clear();
  client.send(
      R"({"op":"replay","topics":["trade_events"],"from":{"time":1700000000090000000},"to":{"time":1700000000095000000}})");
  (void)to_the_end(client, events);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(number(events[0], "offset"), 90u);
}

TEST_F(ReplayTest, ItIsSteppedSoughtAndResumed) {
  publish(0, 1'000);
  start();
  WsClient client(gateway_->port());
  ASSERT_FALSE(ask(client, R"({"op":"replay","topics":["trade_events"],"paused":true})", "replaying").is_null());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(number(client.receive_type("heartbeat"), "count"), 0u) << "nothing comes";
  client.send(R"({"op":"step","subscription":1,"count":3})");
  const auto three = client.receive_type("replay_events");
  EXPECT_EQ(number(three, "count"), 3u);
  EXPECT_EQ(json::serialize(three.at("next_offsets")), "[3]");
  const auto sought = ask(client, R"({"op":"seek","id":"s","subscription":1,"to":{"offset":500}})");
  EXPECT_EQ(json::serialize(sought.at("next_offsets")), "[500]");
  EXPECT_EQ(sought.at("id"), "s");
  client.send(R"({"op":"step","subscription":1})");
  const auto one = client.receive_type("replay_events");
  EXPECT_EQ(number(one, "count"), 1u);
  EXPECT_EQ(number(one.at("events").as_array().at(0), "offset"), 500u);
  EXPECT_EQ(refusal(client, R"({"op":"seek","subscription":1,"to":{"offset":1001}})"), "offset_ahead");
  EXPECT_EQ(json::serialize(ask(client, R"({"op":"pause","subscription":1})").at("next_offsets")), "[501]")
      << "a seek that fails changes nothing";
  EXPECT_EQ(ask(client, R"({"op":"seek","subscription":1,"to":{"time":1700000000990000000}})").at("paused"), true);
  client.send(R"({"op":"resume","subscription":1})");
  std::vector<json::value> events;
  const auto end = to_the_end(client, events);
  ASSERT_EQ(events.size(), 10u);
  EXPECT_EQ(number(events[0], "offset"), 990u);
  EXPECT_EQ(end.at("type"), "replayed");
  EXPECT_EQ(refusal(client, R"({"op":"pause","subscription":1})"), "unknown_subscription");
}

TEST_F(ReplayTest, ASlowOneWaitsForTheNextAndMayBeHurriedOn) {
  source_.publish(0, R"({"instrument":"A"})", WallTime{1'000'000'000});
  source_.publish(0, R"({"instrument":"A"})", WallTime{1'020'000'000});
  source_.publish(0, R"({"instrument":"A"})", WallTime{4'000'000'000'000});
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"replay","topics":["trade_events"],"speed":1})");
  EXPECT_EQ(number(client.receive_type("replay_events").at("events").as_array().at(0), "offset"), 0u);
  EXPECT_EQ(number(client.receive_type("replay_events").at("events").as_array().at(0), "offset"), 1u);
  // The third is due in an hour.
  EXPECT_EQ(number(client.receive_type("heartbeat"), "count"), 2u);
  EXPECT_EQ(ask(client, R"({"op":"speed","subscription":1,"speed":"0.5x"})").at("speed"), "0.500");
  EXPECT_EQ(number(client.receive_type("heartbeat"), "count"), 2u);
  client.send(R"({"op":"speed","subscription":1,"speed":"max"})");
  std::vector<json::value> events;
  EXPECT_EQ(to_the_end(client, events).at("type"), "replayed");
  EXPECT_EQ(events.size(), 1u);
}

TEST_F(ReplayTest, WhatIsReadComesBeforeWhatIsAskedMeanwhile) {
  publish(0, 200);
  start();
  WsClient client(gateway_->port());
  std::vector<json::value> events;
  const auto ask_while_it_reads = [&](std::string_view request) {
    source_.hold_reads(Offset(64));
    client.send(R"({"op":"replay","topics":["trade_events"]})");
    const auto begun = client.receive_type("replaying");
    EXPECT_TRUE(eventually([&] { return source_.holds_a_read(); }));
    client.send(R"({"op":)" + std::string(request) + R"(,"subscription":)" +
                std::to_string(number(begun, "subscription")) + "}");
    client.send(R"({"op":"ping"})");
    client.expect("pong");
    source_.hold_reads(source_.nowhere);
  };
  // A seek that fails changes nothing.
  ask_while_it_reads(R"("seek","to":{"offset":1000})");
  EXPECT_EQ(to_the_end(client, events).at("code"), "offset_ahead");
  EXPECT_EQ(events.size(), 200u);
  EXPECT_EQ(to_the_end(client, events).at("type"), "replayed");
  EXPECT_EQ(events.size(), 200u);
  // An answer names what was sent before it.
  ask_while_it_reads(R"("pause")");
  for (json::value message; !message.is_object() || message.at("type") != "replay_state";) {
    const std::string state = message.is_object() ? json::serialize(message.at("next_offsets")) : "nothing";
    message = json::parse(client.receive().value());
    if (message.at("type") == "replay_state") {
      EXPECT_EQ(json::serialize(message.at("next_offsets")), state);
    }
  }
}

TEST_F(ReplayTest, OneThatIsHurriedOnWhileItReadsDoesNotWaitForTheOldPace) {
  source_.publish(0, R"({"instrument":"A"})", WallTime{1'000'000'000});
  source_.publish(0, R"({"instrument":"A"})", WallTime{4'000'000'000'000});
  start();
  source_.hold_reads(Offset(0));
  WsClient client(gateway_->port());
  client.send(R"({"op":"replay","topics":["trade_events"],"speed":1})");
  EXPECT_TRUE(eventually([&] { return source_.holds_a_read(); }));
  client.send(R"({"op":"speed","subscription":1,"speed":"max"})");
  client.send(R"({"op":"ping"})");
  client.expect("pong");
  source_.hold_reads(source_.nowhere);
  std::vector<json::value> events;
  EXPECT_EQ(to_the_end(client, events).at("type"), "replayed");
  EXPECT_EQ(events.size(), 2u);
}

TEST_F(ReplayTest, ItGoesOnIntoLiveWithNeitherGapNorDuplicate) {
  publish(0, 5'000);
  start();
  std::thread publisher([this] { publish(0, 20'000); });
  WsClient client(gateway_->port());
  client.send(R"({"op":"replay","topics":["trade_events"],"from":{"offset":100},"follow":true})");
  std::vector<json::value> events;
  const auto end = to_the_end(client, events);
  publisher.join();
  ASSERT_EQ(end.at("type"), "replayed") << end;
  const auto followed_by = end.at("followed_by").as_array().at(0).to_number<std::uint64_t>();
  const auto subscribed = client.receive_type("subscribed");
  EXPECT_EQ(number(subscribed, "subscription"), followed_by);
  EXPECT_EQ(number(subscribed, "first_offset"), 100 + events.size());
  publish(0, 1);
  for (const auto& event : client.receive_events(25'001 - 100 - events.size())) events.push_back(event);
  ASSERT_EQ(events.size(), 24'901u);
  for (std::size_t i = 0; i < events.size(); ++i) ASSERT_EQ(number(events[i], "offset"), 100 + i);
}

TEST_F(ReplayTest, WhereTheLogIsAheadOfMemoryLiveWaitsForThat) {
  start();
  source_.hold_poll(true);
  publish(0, 10);
  WsClient client(gateway_->port());
  const auto begun =
      ask(client, R"({"op":"replay","topics":["trade_events"],"from":{"time":"2100-01-01T00:00:00Z"},"follow":true})",
          "replaying");
  EXPECT_EQ(json::serialize(begun.at("next_offsets")), "[10]");
  EXPECT_EQ(json::parse(client.receive().value()).at("type"), "heartbeat") << "it waits";
  source_.hold_poll(false);
  std::vector<json::value> events;
  const auto end = to_the_end(client, events);
  ASSERT_EQ(end.at("type"), "replayed") << end;
  const auto subscribed = client.receive_type("subscribed");
  EXPECT_EQ(subscribed.at("subscription"), end.at("followed_by").as_array().at(0));
  EXPECT_EQ(number(subscribed, "first_offset"), 10u);
  publish(0, 1);
  EXPECT_EQ(number(client.receive_events(1).at(0), "offset"), 10u);
}

TEST_F(ReplayTest, WhatIsTakenBackWhileItWaitsForMemoryEndsItWithAnError) {
  source_.hold_sync(true);
  start();
  source_.hold_poll(true);
  publish(0, 10);
  source_.sync(0, Offset(5));
  WsClient client(gateway_->port());
  ASSERT_FALSE(ask(client,
                   R"({"op":"replay","topics":["trade_events"],"from":{"time":"2100-01-01T00:00:00Z"},"follow":true})",
                   "replaying")
                   .is_null());
  source_.roll_back(0);
  publish(0, 20);
  source_.hold_poll(false);
  std::vector<json::value> events;
  EXPECT_EQ(to_the_end(client, events).at("code"), "rolled_back");
}

TEST_F(ReplayTest, ABinaryOneNamesTheTopicOfEachEventAndWhereEachGoesOn) {
  publish(0, 3);
  publish(1, 2);
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"replay","topics":["trade_events","market_l2"],"format":"binary"})");
  std::optional<std::string> message;
  do {
    message = client.receive();
  } while (message && !client.last_was_binary());
  ASSERT_TRUE(message);
  protocol::BinaryBatchHeader header{};
  std::memcpy(&header, message->data(), sizeof header);
  ASSERT_EQ(header.common.header_size, 64u);
  EXPECT_EQ(header.common.count, 5u);
  EXPECT_EQ(header.kind, protocol::binary_replay);
  std::array<std::uint64_t, 2> next{};
  std::memcpy(next.data(), message->data() + sizeof header, sizeof next);
  EXPECT_EQ(next, (std::array<std::uint64_t, 2>{3, 2}));
  std::size_t at = header.common.header_size;
  for (const std::uint32_t topic : {0u, 1u, 0u, 1u, 0u}) {
    protocol::BinaryEntry entry{};
    ASSERT_LE(at + sizeof entry, message->size());
    std::memcpy(&entry, message->data() + at, sizeof entry);
    EXPECT_EQ(entry.flags >> 16, topic);
    at += header.common.entry_header_size + entry.frame_size;
  }
  EXPECT_EQ(at, message->size());
}

TEST_F(ReplayTest, AClientThatDoesNotReadMakesItWaitAndIsCutOff) {
  options_.send_buffer = 4096;
  options_.write_timeout = std::chrono::milliseconds(300);
  publish(0, 50'000);
  start();
  WsClient deaf(gateway_->port(), {.receive_buffer = 4096, .origin = {}});
  deaf.send(R"({"op":"replay","topics":["trade_events"]})");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (gateway_->count(Counter::sessions_cut_slow) == 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_EQ(gateway_->count(Counter::sessions_cut_slow), 1u);
  EXPECT_LE(gateway_->count(Counter::replay_reads), 8u) << "what is not read is not fetched either";
}

TEST_F(ReplayTest, WhatIsDeletedOnTheWayEndsItWithAnError) {
  publish(0, 100);
  start();
  WsClient client(gateway_->port());
  ASSERT_FALSE(ask(client, R"({"op":"replay","topics":["trade_events"],"paused":true})", "replaying").is_null());
  source_.forget_before(0, Offset(90));
  client.send(R"({"op":"resume","subscription":1})");
  std::vector<json::value> events;
  const auto error = to_the_end(client, events);
  EXPECT_EQ(error.at("type"), "error");
  EXPECT_EQ(error.at("code"), "offset_deleted");
  EXPECT_EQ(error.at("subscription"), 1);
  EXPECT_EQ(json::serialize(error.at("next_offsets")), "[" + std::to_string(events.size()) + "]")
      << "where it was, for its client to judge";
  EXPECT_EQ(json::serialize(error.at("end_offsets")), "[100]");
  EXPECT_EQ(number(error, "count"), events.size());
  EXPECT_FALSE(error.as_object().contains("books")) << "a replay keeps none";
  EXPECT_FALSE(error.as_object().contains("next_offset"));
  EXPECT_EQ(refusal(client, R"({"op":"replay","topics":["trade_events"],"from":{"offset":5}})"), "offset_deleted");
}

TEST_F(ReplayTest, WhereMoreMayHaveBeenDeletedItsAnswerSaysSo) {
  publish(0, 100);
  publish(1, 100);
  source_.forget_before(0, Offset(40));
  start();
  WsClient client(gateway_->port());
  // Events come a millisecond apart.
  const auto deleted_before = [&](const std::string& fields) -> std::string {
    const auto begun = ask(client, R"({"op":"replay","paused":true,)" + fields + "}", "replaying");
    client.send(R"({"op":"unsubscribe","subscription":)" + std::to_string(number(begun, "subscription")) + "}");
    client.expect("unsubscribed");
    const auto* field = begun.as_object().if_contains("deleted_before");
    return field ? json::serialize(*field) : "none";
  };
  const std::string one = R"("topics":["trade_events"],"from":)";
  const std::string two = R"("topics":["market_l2","trade_events"],"from":)";
  EXPECT_EQ(deleted_before(one + R"({"time":1700000000010000000})"), "[40]");
  EXPECT_EQ(deleted_before(one + R"({"time":1700000000040000000})"), "[40]") << "others may have had this time, too";
  EXPECT_EQ(deleted_before(one + R"({"time":1700000000041000000})"), "none");
  EXPECT_EQ(deleted_before(one + "\"earliest\""), "none") << "the oldest that there is was asked for";
  EXPECT_EQ(deleted_before(one + R"({"offset":40})"), "none");
  EXPECT_EQ(deleted_before(R"("topics":["market_l2"],"from":{"time":1})"), "none") << "it begins where its log began";
  EXPECT_EQ(deleted_before(two + R"({"time":1700000000010000000})"), "[null,40]");
  EXPECT_EQ(deleted_before(two + R"({"time":1700000000050000000})"), "none");
  ASSERT_FALSE(ask(client, R"({"op":"replay","paused":true,)" + two + "{\"time\":1}}", "replaying").is_null());
  client.send(R"({"op":"seek","subscription":9,"to":{"offset":10}})");
  EXPECT_EQ(json::serialize(client.receive_type("replay_state").at("deleted_before")), "[null,40]")
      << "the others go to the time of the first";
  const auto later = ask(client, R"({"op":"seek","subscription":9,"to":{"offset":60}})");
  EXPECT_FALSE(later.as_object().contains("deleted_before"));
}

TEST_F(ReplayTest, OneOfSeveralTopicsGoesOnFromItsNextOffsets) {
  publish(0, 1'000);
  publish(1, 1'000);
  start();
  WsClient client(gateway_->port());
  const std::string request = R"({"op":"replay","topics":["trade_events","market_l2"],"paused":true)";
  // Five hundred steps end between two events of one time: no time says where it was.
  const auto begun = ask(client, request + "}", "replaying");
  client.send(R"({"op":"step","subscription":1,"count":501})");
  std::uint64_t count = 0;
  json::value last;
  while (count < 501) {
    last = client.receive_type("replay_events");
    ASSERT_FALSE(last.is_null());
    count += number(last, "count");
  }
  const std::string offsets = json::serialize(last.at("next_offsets"));
  EXPECT_EQ(offsets, "[251,250]");
  const auto again = ask(client, request + R"(,"from":{"offsets":)" + offsets + "}}", "replaying");
  EXPECT_EQ(json::serialize(again.at("next_offsets")), offsets);
  ASSERT_FALSE(ask(client, R"({"op":"resume","subscription":2})").is_null());
  std::vector<json::value> events;
  EXPECT_EQ(json::serialize(to_the_end(client, events).at("next_offsets")), "[1000,1000]");
  ASSERT_EQ(events.size(), 1'499u);
  EXPECT_EQ(events[0].at("topic"), "market_l2");
  EXPECT_EQ(number(events[0], "offset"), 250u);
  EXPECT_EQ(refusal(client, request + R"(,"from":{"offsets":[0,1001]}})"), "offset_ahead");
  // A seek goes where it says, not to where it began.
  const auto third = ask(client, request + R"(,"from":{"offsets":[5,6]}})", "replaying");
  const std::string about = R"("subscription":)" + std::to_string(number(third, "subscription"));
  EXPECT_EQ(json::serialize(ask(client, R"({"op":"seek","to":"earliest",)" + about + "}").at("next_offsets")), "[0,0]");
}

TEST_F(ReplayTest, OneThatIsRefusedUsesUpNoNumber) {
  publish(0, 10);
  source_.forget_before(0, Offset(5));
  start();
  WsClient client(gateway_->port());
  EXPECT_EQ(refusal(client, R"({"op":"replay","topics":["trade_events"],"from":{"offset":4}})"), "offset_deleted");
  EXPECT_EQ(refusal(client, R"({"op":"replay","topics":["nothing"]})"), "unknown_topic");
  // Two at once, the first of which is refused once the log has been looked at.
  client.send(R"({"op":"replay","topics":["trade_events"],"from":{"offset":3}})");
  const auto begun = ask(client, R"({"op":"replay","topics":["trade_events"],"paused":true})", "replaying");
  EXPECT_EQ(number(begun, "subscription"), 1u);
  const auto subscribed = ask(client, R"({"op":"subscribe","topic":"trade_events"})", "subscribed");
  EXPECT_EQ(number(subscribed, "subscription"), 2u);
}

TEST_F(ReplayTest, WhatIsWrongIsNamed) {
  publish(0, 10);
  start();
  WsClient client(gateway_->port());
  const auto code = [&](const std::string& fields) { return refusal(client, R"({"op":"replay",)" + fields + "}"); };
  EXPECT_EQ(code(R"("topics":["nothing"])"), "unknown_topic");
  EXPECT_EQ(code(R"("topics":[])"), "bad_request");
  EXPECT_EQ(code(R"("topics":["trade_events","trade_events"])"), "bad_request");
  EXPECT_EQ(code(R"("topics":["trade_events"],"from":{"offset":11})"), "offset_ahead");
  EXPECT_EQ(code(R"("topics":["trade_events"],"to":{"offset":11})"), "offset_ahead");
  EXPECT_EQ(code(R"("topics":["trade_events"],"from":{"offset":5},"to":{"offset":4})"), "bad_start");
  EXPECT_EQ(code(R"("topics":["trade_events"],"from":"live")"), "bad_start");
  EXPECT_EQ(code(R"("topics":["trade_events"],"from":{"time":"noon"})"), "bad_start");
  EXPECT_EQ(code(R"("topics":["trade_events","market_l2"],"from":{"offset":1})"), "bad_start");
  EXPECT_EQ(code(R"("topics":["trade_events"],"speed":0)"), "bad_speed");
  EXPECT_EQ(code(R"("topics":["trade_events"],"speed":"fast")"), "bad_speed");
  EXPECT_EQ(code(R"("topics":["trade_events"],"filter":{"colour":"red"})"), "bad_filter");
  EXPECT_EQ(code(R"("topics":["trade_events"],"follow":true,"to":{"offset":5})"), "bad_start");
  EXPECT_EQ(refusal(client, R"({"op":"step","subscription":9})"), "unknown_subscription");
  json::value last;
  for (int i = 0; i < 4; ++i) {
    last = ask(client, R"({"op":"replay","topics":["trade_events"],"paused":true})", "replaying");
    ASSERT_FALSE(last.is_null());
  }
  EXPECT_EQ(code(R"("topics":["trade_events"])"), "too_many_subscriptions");
  client.send(R"({"op":"unsubscribe","subscription":)" + std::to_string(number(last, "subscription")) + "}");
  EXPECT_EQ(client.receive_type("unsubscribed").at("subscription"), last.at("subscription"));
  EXPECT_FALSE(ask(client, R"({"op":"replay","topics":["trade_events"],"paused":true})", "replaying").is_null());
}

TEST_F(ReplayTest, ADamagedLogEndsItWhereItIs) {
  publish(0, 1'000);
  source_.damage(0, Offset(200), Offset(300));
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"replay","topics":["trade_events"]})");
  std::vector<json::value> events;
  const auto error = to_the_end(client, events);
  EXPECT_EQ(error.at("type"), "error") << error;
  ASSERT_EQ(events.size(), 200u);
  EXPECT_EQ(number(events.back(), "offset"), 199u);
  EXPECT_EQ(error.at("code"), "replay_failed");
  EXPECT_EQ(json::serialize(error.at("next_offsets")), "[200]");
}

}  // namespace
}  // namespace millrace::gateway
