// Proves what a WebSocket client may rely on: every event once and in order whatever the start and however slow it is,
// filters, formats, heartbeats, and that one client's faults are its own.
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>

#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;
namespace json = boost::json;

using SessionTest = testing::WithGateway;

void expect_offsets(const std::vector<json::value>& events, std::uint64_t first) {
  for (std::size_t i = 0; i < events.size(); ++i)
    ASSERT_EQ(events[i].at("offset").to_number<std::uint64_t>(), first + i);
}

TEST_F(SessionTest, ALiveSubscriberGetsWhatIsPublishedAfterItsAnswer) {
  publish(3);
  start();
  WsClient client = connect();
  ASSERT_TRUE(client.connected());
  client.send(R"({"op":"subscribe","id":7,"topic":"trade_events"})");
  const auto answer = client.receive_type("subscribed");
  EXPECT_EQ(answer.at("id"), 7);
  EXPECT_EQ(answer.at("first_offset"), 3);
  EXPECT_EQ(answer.at("run"), 1);
  publish(2);
  const auto events = client.receive_events(2);
  ASSERT_EQ(events.size(), 2u);
  expect_offsets(events, 3);
  EXPECT_EQ(events[0].at("sequence"), 4);
  EXPECT_EQ(events[0].at("publisher"), 1);
  EXPECT_EQ(events[0].at("record_time"), "2023-11-14T22:13:20.003000000Z");
  EXPECT_EQ(events[0].at("data").at("trade_id"), "3");
}

TEST_F(SessionTest, AStartAtTheEarliestWhileEventsFlowLeavesNoGapAndNoDuplicate) {
  options_.cache_events = 64;  // most comes from the log, and the head runs away from the reader
  options_.cache_bytes = 16 * 1024;
  publish(5'000);
  start();
  std::thread publisher([this] { publish(20'000); });
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest"})");
  EXPECT_EQ(client.receive_type("subscribed").at("first_offset"), 0);
  const auto events = client.receive_events(25'000);
  publisher.join();
  ASSERT_EQ(events.size(), 25'000u);
  expect_offsets(events, 0);
}

TEST_F(SessionTest, AStartAtAnOffsetOrATimeBeginsThere) {
  publish(50);
  start();  // the cache is empty: both come from the log
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"offset":20}})");
  EXPECT_EQ(client.receive_type("subscribed").at("first_offset"), 20);
  expect_offsets(client.receive_events(30), 20);
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"time":"2023-11-14T22:13:20.0400Z"}})");
  EXPECT_EQ(client.receive_type("subscribed").at("first_offset"), 40);
  expect_offsets(client.receive_events(10), 40);
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"time":1700000000045000000}})");
  EXPECT_EQ(client.receive_type("subscribed").at("first_offset"), 45);
}

TEST_F(SessionTest, ACachedStartDoesNotTouchTheLog) {
  start();
  publish(100);
  ASSERT_TRUE(eventually(Counter::events, 100));
  WsClient client = connect();
  client.send(R"({"op":"ping"})");  // the network's thread has the events once it answers: both come in order
  client.expect("pong");
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"offset":10}})");
  expect_offsets(client.receive_events(90), 10);
  EXPECT_EQ(source_.replays(), 0u);
}

TEST_F(SessionTest, WhereTheLogIsAheadOfTheFeederNothingComesTwice) {
  start();
  source_.hold_poll(true);
  publish(5);
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest"})");
  expect_offsets(client.receive_events(5), 0);
  client.send(R"({"op":"ping"})");
  client.expect("pong");  // it has looked for more by now, and must not have asked the log again
  EXPECT_EQ(gateway_->count(Counter::replay_reads), 1u);
  source_.hold_poll(false);
  publish(5);
  const auto events = client.receive_events(5);
  ASSERT_EQ(events.size(), 5u);
  expect_offsets(events, 5);
}

TEST_F(SessionTest, APositionOfAnotherLogOrBeyondTheEndIsRefused) {
  publish(5);
  source_.forget_before(0, Offset(2));
  start();
  WsClient client = connect();
  const auto code_of = [&](std::string_view start) {
    client.send(R"({"op":"subscribe","id":"x","topic":"trade_events","start":)" + std::string(start) + "}");
    const auto error = client.receive_type("error");
    EXPECT_EQ(error.at("id"), "x");
    return std::string(error.at("code").as_string());
  };
  EXPECT_EQ(code_of(R"({"offset":6})"), "offset_ahead");
  EXPECT_EQ(code_of(R"({"offset":1})"), "offset_deleted");
  EXPECT_EQ(code_of(R"({"offset":3,"log_id":"00000000000000000000000000000000","run":1})"), "wrong_log");
  EXPECT_EQ(code_of(R"({"offset":3,"log_id":"abababababababababababababababab","run":2})"), "rolled_back");
  client.send(R"({"op":"subscribe","topic":"trade_events",
                  "start":{"offset":3,"log_id":"abababababababababababababababab","run":1}})");
  expect_offsets(client.receive_events(2), 3);
}

TEST_F(SessionTest, JsonIsEncodedOnceHoweverManySessions) {
  start();
  std::vector<WsClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(connect());
    clients.back().send(R"({"op":"subscribe","topic":"trade_events"})");
    clients.back().expect("subscribed");
  }
  publish(500);
  for (WsClient& client : clients) expect_offsets(client.receive_events(500), 0);
  EXPECT_EQ(gateway_->count(Counter::json_encoded), 500u);
}

TEST_F(SessionTest, AFilterShowsOneInstrumentAndAccountsForTheRest) {
  publish(5, "A");
  publish(5, "B");
  start();
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest","filter":{"instrument":"B"}})");
  expect_offsets(client.receive_events(5), 5);
  publish(3, "A");
  publish(1, "B");
  const auto message = client.receive_type("events");  // live now, through the cache
  ASSERT_EQ(message.at("count"), 1);
  EXPECT_EQ(message.at("events").at(0).at("offset"), 13);
  EXPECT_EQ(message.at("next_offset"), 14);

  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest","filter":{"instrument":["C","A"]}})");
  EXPECT_EQ(client.receive_events(8).size(), 8u);
  client.send(R"({"op":"subscribe","topic":"trade_events","filter":{"colour":"red"}})");
  EXPECT_EQ(client.receive_type("error").at("code"), "bad_filter");
}

TEST_F(SessionTest, BinaryMessagesCarryTheFramesAsTheyAre) {
  publish(3);
  start();
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest","format":"binary"})");
  client.expect("subscribed");
  const auto message = client.receive();
  ASSERT_TRUE(message && client.last_was_binary());
  protocol::BinaryHeader header{};
  ASSERT_GE(message->size(), sizeof header);
  std::memcpy(&header, message->data(), sizeof header);
  EXPECT_EQ(header.magic, protocol::binary_magic);
  EXPECT_EQ(header.count, 3u);
  EXPECT_EQ(header.next_offset, 3u);
  std::size_t at = header.header_size;
  for (std::uint64_t i = 0; i < 3; ++i) {
    protocol::BinaryEntry entry{};
    std::memcpy(&entry, message->data() + at, sizeof entry);
    EXPECT_EQ(entry.offset, i);
    FrameHeader frame{};
    std::memcpy(&frame, message->data() + at + header.entry_header_size, sizeof frame);
    EXPECT_EQ(frame.sequence, i + 1);
    EXPECT_EQ(entry.frame_size % 8, 0u);
    at += header.entry_header_size + entry.frame_size;
  }
  EXPECT_EQ(at, message->size());
}

TEST_F(SessionTest, APayloadThatFailsItsVerifierIsShownAsInvalidAndCounted) {
  start();
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events"})");
  client.expect("subscribed");
  source_.publish_garbage(0);
  publish(1);
  const auto events = client.receive_events(2);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[0].at("data").is_null());
  EXPECT_EQ(events[0].at("invalid"), true);
  EXPECT_EQ(events[1].at("data").at("trade_id"), "1");
  EXPECT_EQ(gateway_->count(Counter::events_invalid), 1u);
}

TEST_F(SessionTest, ASlowSessionIsHealedFromTheLogWithNoGap) {
  options_.cache_events = 128;
  options_.message_size_max = 16 * 1024;
  options_.send_buffer = 8 * 1024;
  start();
  WsClient slow(gateway_->port(), {.receive_buffer = 4096, .origin = {}});
  slow.send(R"({"op":"subscribe","topic":"trade_events"})");
  slow.expect("subscribed");
  publish(3'000);  // far more than its socket and the cache hold together
  ASSERT_TRUE(eventually(Counter::events, 3'000));
  const auto events = slow.receive_events(3'000);
  ASSERT_EQ(events.size(), 3'000u);
  expect_offsets(events, 0);
  EXPECT_GE(gateway_->count(Counter::replays_healed), 1u);
  publish(1);
  expect_offsets(slow.receive_events(1), 3'000);
}

TEST_F(SessionTest, ASessionThatNeverReadsIsCutOffAndOthersAreNotDisturbed) {
  options_.write_timeout = std::chrono::milliseconds(100);
  options_.heartbeat = std::chrono::milliseconds(20);
  options_.send_buffer = 8 * 1024;
  start();
  WsClient stuck(gateway_->port(), {.receive_buffer = 4096, .origin = {}});
  stuck.send(R"({"op":"subscribe","topic":"trade_events"})");
  stuck.expect("subscribed");
  WsClient reader = connect();
  reader.send(R"({"op":"subscribe","topic":"trade_events"})");
  reader.expect("subscribed");
  std::uint64_t next = 0;
  for (int round = 0; round < 20; ++round) {
    publish(100);
    expect_offsets(reader.receive_events(100), next);
    next += 100;
  }
  ASSERT_TRUE(eventually(Counter::sessions_cut_slow, 1));
  publish(10);
  expect_offsets(reader.receive_events(10), next);
  EXPECT_EQ(gateway_->count(Counter::sessions_cut_slow), 1u);
}

TEST_F(SessionTest, AClientThatDoesNotReadItsAnswersIsNoLongerHeardAndThenCutOff) {
  options_.write_timeout = std::chrono::milliseconds(100);
  options_.heartbeat = std::chrono::milliseconds(20);
  options_.send_buffer = 4 * 1024;
  start();
  WsClient flood(gateway_->port(), {.receive_buffer = 4096, .origin = {}});
  std::thread sender([&flood] {
    for (int i = 0; i < 200'000; ++i) flood.send(R"({"op":"ping"})");  // fails at once after the cut
  });
  EXPECT_TRUE(eventually(Counter::sessions_cut_slow, 1));
  sender.join();
}

TEST_F(SessionTest, AnIdleSubscriptionGetsHeartbeatsWithItsNextOffset) {
  options_.heartbeat = std::chrono::milliseconds(10);
  publish(4);
  start();
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events"})");
  for (int i = 0; i < 3; ++i) {
    const auto heartbeat = client.receive_type("heartbeat");
    EXPECT_EQ(heartbeat.at("next_offset"), 4);
    EXPECT_EQ(heartbeat.at("subscription"), 1);
  }
}

TEST_F(SessionTest, UnsubscribeEndsTheEventsAndNamesWhereToGoOn) {
  start();
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events"})");
  client.expect("subscribed");
  client.send(R"({"op":"unsubscribe","id":2,"subscription":1})");
  EXPECT_EQ(client.receive_type("unsubscribed").at("next_offset"), 0);
  publish(3);
  ASSERT_TRUE(eventually(Counter::events, 3));
  client.send(R"({"op":"unsubscribe","subscription":1})");
  const auto next = client.receive();  // no events before it
  ASSERT_TRUE(next);
  EXPECT_NE(next->find("unknown_subscription"), std::string::npos);
}

TEST_F(SessionTest, OneSessionMayFollowSeveralTopicsUpToItsLimit) {
  options_.subscriptions_max = 2;
  start();
  WsClient client = connect();
  client.send(R"({"op":"subscribe","topic":"trade_events"})");
  client.send(R"({"op":"subscribe","topic":"market_l2"})");
  client.send(R"({"op":"subscribe","topic":"market_l2"})");
  EXPECT_EQ(client.receive_type("subscribed").at("subscription"), 1);
  EXPECT_EQ(client.receive_type("subscribed").at("subscription"), 2);
  EXPECT_EQ(client.receive_type("error").at("code"), "too_many_subscriptions");
  source_.publish_numbered(1, "B");
  EXPECT_EQ(client.receive_type("events").at("topic"), "market_l2");
  source_.publish_numbered(0, "A");
  EXPECT_EQ(client.receive_type("events").at("topic"), "trade_events");
}

TEST_F(SessionTest, AStoppingGatewaySaysGoodbye) {
  start();
  WsClient client = connect();
  client.send(R"({"op":"ping"})");  // the session stands when it answers
  EXPECT_EQ(client.receive_type("pong").at("type"), "pong");
  std::thread stopper([this] { gateway_->stop(); });
  EXPECT_FALSE(client.receive());
  stopper.join();
  EXPECT_EQ(client.close_code(), 1001);
}

TEST_F(SessionTest, ADamagedLogEndsASubscriptionWhereItIs) {
  publish(1'000);
  source_.damage(0, Offset(200), Offset(300));
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest"})");
  const auto events = client.receive_events(200);
  ASSERT_EQ(events.size(), 200u) << "what came before the damage is good";
  EXPECT_EQ(events.back().at("offset"), 199);
  const auto error = client.receive_type("error");
  ASSERT_FALSE(error.is_null());
  EXPECT_EQ(error.at("code"), "replay_failed");
  EXPECT_EQ(error.at("subscription"), 1);
  EXPECT_EQ(error.at("next_offset"), 200);
}

}  // namespace
}  // namespace millrace::gateway
