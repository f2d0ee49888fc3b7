// Proves what level synced and a durable consumer may rely on over WebSocket: nothing is shown that is not on the disk,
// a name begins where it was acknowledged, one client has it at a time, and nobody else waits for the core's answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;
using testing::number;
namespace json = boost::json;

class ConsumerTest : public testing::WithGateway {
 protected:
  ConsumerTest() { options_.heartbeat = std::chrono::milliseconds(10); }
  // `fields`: beside op and topic, each with a comma before it.
  static void subscribe(WsClient& client, const std::string& fields) {
    client.send(R"({"op":"subscribe","id":"s","topic":"trade_events")" + fields + "}");
  }
  static std::string code(WsClient& client) { return client.receive_type("error").at("code").as_string().c_str(); }
  static json::value ack(WsClient& client, std::uint64_t next) {
    client.send(R"({"op":"ack","id":5,"subscription":1,"next_offset":)" + std::to_string(next) + "}");
    return client.receive_type("acked");
  }
  static void expect_events(WsClient& client, std::uint64_t first, std::uint64_t end) {
    const auto events = client.receive_events(end - first);
    ASSERT_EQ(events.size(), end - first);
    for (std::size_t i = 0; i < events.size(); ++i) ASSERT_EQ(number(events[i], "offset"), first + i);
  }
};

TEST_F(ConsumerTest, WhatIsNotSyncedIsWithheldAndComesOnceItIs) {
  source_.hold_sync(true);
  start();
  WsClient synced = connect();
  subscribe(synced, R"(,"level":"synced")");
  EXPECT_EQ(synced.receive_type("subscribed").at("level"), "synced");
  WsClient recorded = connect();
  subscribe(recorded, "");
  EXPECT_EQ(recorded.receive_type("subscribed").at("level"), "recorded");
  publish(5);
  expect_events(recorded, 0, 5);
  expect_quiet_at(synced, 0);
  synced.send(R"({"op":"books","subscription":1})");
  EXPECT_EQ(number(synced.receive_type("books"), "behind"), 0u) << "there is nothing yet that its level shows";
  source_.sync(0, Offset(3));
  expect_events(synced, 0, 3);
  expect_quiet_at(synced, 3);
  source_.sync(0, Offset(5));
  expect_events(synced, 3, 5);
}

TEST_F(ConsumerTest, AMessageMadeForARecordedSubscriptionIsNotGivenToASyncedOne) {
  options_.message_size_max = 1024;  // a message is full after a few: shared whatever comes behind
  source_.hold_sync(true);
  start();
  WsClient synced = connect();
  subscribe(synced, R"(,"level":"synced")");
  synced.expect("subscribed");
  WsClient recorded = connect();
  subscribe(recorded, "");
  recorded.expect("subscribed");
  source_.hold_poll(true);
  publish(8);
  source_.hold_poll(false);  // they come at once
  expect_events(recorded, 0, 8);
  source_.sync(0, Offset(1));
  expect_events(synced, 0, 1);
  expect_quiet_at(synced, 1);
}

TEST_F(ConsumerTest, FromTheLogItComesAsFarAsItIsSyncedAndAFilterAccountsNoFurther) {
  options_.cache_events = 4;
  options_.cache_bytes = 1024;
  publish(6);
  source_.hold_sync(true);
  publish(20, "B");
  start();
  WsClient client = connect();
  subscribe(client, R"(,"level":"synced","start":"earliest","filter":{"instrument":"A"})");
  EXPECT_EQ(number(client.receive_type("subscribed"), "first_offset"), 0u);
  expect_events(client, 0, 6);
  expect_quiet_at(client, 6);
  source_.sync(0, Offset(16));
  client.send(R"({"op":"ping"})");
  client.expect("pong");
  ASSERT_TRUE(eventually([&] { return number(client.receive_type("heartbeat"), "next_offset") == 16; }));
  expect_quiet_at(client, 16);
  publish(1, "A");
  source_.sync(0, Offset(27));
  expect_events(client, 26, 27);
}

TEST_F(ConsumerTest, APositionThatIsRecordedButNotSyncedIsWaitedFor) {
  source_.hold_sync(true);
  start();
  WsClient feed = connect();
  subscribe(feed, "");
  feed.expect("subscribed");
  publish(5);
  expect_events(feed, 0, 5);
  WsClient client = connect();
  subscribe(client, R"(,"level":"synced","start":{"offset":4})");
  EXPECT_EQ(number(client.receive_type("subscribed"), "first_offset"), 4u);
  expect_quiet_at(client, 4);
  source_.sync(0, Offset(5));
  expect_events(client, 4, 5);
}

TEST_F(ConsumerTest, WhatTheDiskTookBackIsNeverShownAsSynced) {
  start();
  WsClient client = connect();
  subscribe(client, R"(,"level":"synced")");
  client.expect("subscribed");
  publish(2, "A");
  expect_events(client, 0, 2);
  source_.hold_sync(true);
  publish(5, "LOST");
  ASSERT_TRUE(eventually([&] { return gateway_->count(Counter::events) == 7; }));
  source_.roll_back(0);
  publish(3, "KEPT");
  source_.sync(0, Offset(5));
  const auto events = client.receive_events(3);
  ASSERT_EQ(events.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(number(events[i], "offset"), 2 + i);
    EXPECT_EQ(events[i].at("data").at("instrument"), "KEPT");
  }
}

TEST_F(ConsumerTest, ANewRunIsToldBeforeItsFirstEventAndAPositionOfItResumes) {
  publish(3);
  start();
  WsClient client = connect();
  subscribe(client, R"(,"start":"earliest")");
  const auto before = number(client.receive_type("subscribed"), "run");
  expect_events(client, 0, 3);
  source_.begin_run(0);
  publish(2);
  const auto began = client.receive_type("run");
  EXPECT_EQ(number(began, "run"), before + 1);
  EXPECT_EQ(number(began, "first_offset"), 3u);
  expect_events(client, 3, 5);
  WsClient again = connect();
  const std::string log_id = to_hex(source_.topics()[0].log_id.bytes);
  const auto resume = [&](std::uint64_t run) {
    subscribe(again, R"(,"start":{"offset":5,"log_id":")" + log_id + R"(","run":)" + std::to_string(run) + "}");
  };
  resume(before + 1);
  EXPECT_EQ(number(again.receive_type("subscribed"), "first_offset"), 5u);
}

TEST_F(ConsumerTest, ARecordedSubscriptionEndsWhereADiskTookBackWhatItWasSent) {
  start();
  WsClient client = connect();
  subscribe(client, "");
  client.expect("subscribed");
  publish(2);
  expect_events(client, 0, 2);
  source_.hold_sync(true);
  publish(5);
  expect_events(client, 2, 7);
  source_.roll_back(0);
  publish(3);
  const auto error = client.receive_type("error");
  EXPECT_EQ(error.at("code"), "rolled_back");
}

TEST_F(ConsumerTest, ANewConsumerBeginsAtItsStartAndTheNextOneWhereItAcknowledged) {
  publish(10);
  start();
  {
    WsClient client = connect();
    subscribe(client, R"(,"consumer":"risk","start":"earliest")");
    const auto answer = client.receive_type("subscribed");
    EXPECT_EQ(answer.at("id"), "s");
    EXPECT_EQ(answer.at("consumer"), "risk");
    EXPECT_EQ(answer.at("level"), "synced");
    EXPECT_EQ(number(answer, "first_offset"), 0u);
    expect_events(client, 0, 10);
    EXPECT_EQ(source_.consumer("risk")->sent, Offset(10)) << "the core sees how far it is";
    source_.hold_checkpoints(true);
    auto acked = ack(client, 4);
    EXPECT_EQ(acked.at("id"), 5);
    EXPECT_EQ(number(acked, "next_offset"), 4u);
    EXPECT_EQ(number(acked, "checkpoint"), 0u) << "not durable yet";
    source_.hold_checkpoints(false);
    acked = ack(client, 3);
    EXPECT_EQ(number(acked, "next_offset"), 4u) << "never back";
    EXPECT_EQ(number(acked, "checkpoint"), 4u);
  }
  ASSERT_TRUE(eventually([&] { return !source_.consumer("risk")->held; }));
  WsClient again = connect();
  subscribe(again, R"(,"consumer":"risk")");
  EXPECT_EQ(number(again.receive_type("subscribed"), "first_offset"), 4u);
  expect_events(again, 4, 10);
  publish(2);
  expect_events(again, 10, 12);
  EXPECT_EQ(number(ack(again, 12), "next_offset"), 12u);

  WsClient live = connect();
  subscribe(live, R"(,"consumer":"new")");
  EXPECT_EQ(number(live.receive_type("subscribed"), "first_offset"), 12u) << "live, unless it says otherwise";
  live.send(R"({"op":"unsubscribe","subscription":1})");
  live.expect("unsubscribed");
  EXPECT_FALSE(source_.consumer("new")->held) << "free as soon as the answer is there";
}

TEST_F(ConsumerTest, AnAcknowledgementThatCannotBeIsRefused) {
  publish(3);
  start();
  WsClient client = connect();
  subscribe(client, R"(,"level":"synced","start":"earliest")");
  client.expect("subscribed");
  client.send(R"({"op":"ack","subscription":1,"next_offset":1})");
  EXPECT_EQ(code(client), "not_durable");
  client.send(R"({"op":"ack","subscription":2,"next_offset":1})");
  EXPECT_EQ(code(client), "unknown_subscription");
  subscribe(client, R"(,"consumer":"risk","start":"earliest")");
  client.expect("subscribed");
  client.send(R"({"op":"ack","subscription":2,"next_offset":4})");
  EXPECT_EQ(code(client), "ack_ahead");
  source_.hold_sync(true);
  publish(1);
  client.send(R"({"op":"ack","subscription":2,"next_offset":4})");
  EXPECT_EQ(code(client), "ack_ahead") << "recorded, but not sent";
  EXPECT_EQ(source_.consumer("risk")->acked, Offset(0));
}

TEST_F(ConsumerTest, ANameIsOneClientsUntilAnotherTakesItOver) {
  publish(4);
  start();
  WsClient first = connect();
  subscribe(first, R"(,"consumer":"risk","start":"earliest")");
  first.expect("subscribed");
  expect_events(first, 0, 4);
  (void)ack(first, 1);
  WsClient second = connect();
  subscribe(second, R"(,"consumer":"risk")");
  auto error = second.receive_type("error");
  EXPECT_EQ(error.at("code"), "in_use");
  EXPECT_EQ(error.at("id"), "s");
  subscribe(second, R"(,"consumer":"risk","take_over":true)");
  EXPECT_EQ(number(second.receive_type("subscribed"), "first_offset"), 1u);

  error = first.receive_type("error");
  EXPECT_EQ(error.at("code"), "fenced");
  EXPECT_EQ(number(error, "subscription"), 1u);
  EXPECT_EQ(number(error, "next_offset"), 4u);
  first.send(R"({"op":"ack","subscription":1,"next_offset":4})");
  EXPECT_EQ(code(first), "unknown_subscription") << "its acknowledgements count no more";
  expect_events(second, 1, 4);
  EXPECT_EQ(source_.consumer("risk")->acked, Offset(1));
}

TEST_F(ConsumerTest, AResetFencesWhoHasTheName) {
  publish(4);
  start();
  WsClient client = connect();
  subscribe(client, R"(,"consumer":"risk","start":"earliest")");
  expect_events(client, 0, 4);
  source_.reset_consumer("risk", Offset(2));
  EXPECT_EQ(code(client), "fenced");
  subscribe(client, R"(,"consumer":"risk")");
  EXPECT_EQ(number(client.receive_type("subscribed"), "first_offset"), 2u);
}

TEST_F(ConsumerTest, AnAcknowledgementThatFindsTheNameLostIsToldAndSoIsTheEnd) {
  options_.heartbeat = std::chrono::hours(1);  // nothing else looks
  publish(2);
  start();
  WsClient client = connect();
  subscribe(client, R"(,"consumer":"risk","start":"earliest")");
  expect_events(client, 0, 2);
  source_.reset_consumer("risk", Offset(0));
  client.send(R"({"op":"ack","id":9,"subscription":1,"next_offset":2})");
  auto error = client.receive_type("error");
  EXPECT_EQ(error.at("code"), "fenced");
  if (error.at("id").is_null()) return;  // a tick was quicker: the subscription has ended
  EXPECT_EQ(error.at("id"), 9);
  error = client.receive_type("error");
  EXPECT_EQ(error.at("code"), "fenced");
  EXPECT_EQ(number(error, "subscription"), 1u);
  EXPECT_EQ(source_.consumer("risk")->acked, Offset(0));
}

TEST_F(ConsumerTest, ACoreThatDoesNotAnswerKeepsNobodyWaitingButWhoAskedIt) {
  publish(2);
  start();
  source_.hold_claims(true);
  {
    WsClient gone = connect();
    subscribe(gone, R"(,"consumer":"gone")");
    gone.send(R"({"op":"ping"})");
    gone.expect("pong");
  }
  WsClient client = connect();
  subscribe(client, R"(,"consumer":"risk","start":"earliest")");
  subscribe(client, R"(,"start":"earliest")");
  EXPECT_EQ(number(client.receive_type("subscribed"), "subscription"), 2u) << "the first waits for the core";
  expect_events(client, 0, 2);
  client.send(R"({"op":"unsubscribe","subscription":1})");
  EXPECT_EQ(code(client), "unknown_subscription") << "not yet";
  source_.hold_claims(false);
  const auto answer = client.receive_type("subscribed");
  EXPECT_EQ(number(answer, "subscription"), 1u);
  EXPECT_EQ(number(answer, "first_offset"), 0u);
  ASSERT_TRUE(eventually([&] {
    const auto gone = source_.consumer("gone");
    return !gone || !gone->held;
  })) << "a name that nobody waits for any more is let go of";
}

TEST_F(ConsumerTest, ACheckpointThatRetentionDeletedEndsItOrIsSkippedAsTheCallerChose) {
  publish(10);
  start();
  {
    WsClient client = connect();
    subscribe(client, R"(,"consumer":"risk","start":"earliest")");
    expect_events(client, 0, 10);
    (void)ack(client, 2);
  }
  ASSERT_TRUE(eventually([&] { return !source_.consumer("risk")->held; }));
  source_.forget_before(0, Offset(5));
  WsClient client = connect();
  subscribe(client, R"(,"consumer":"risk")");
  const auto error = client.receive_type("error");
  EXPECT_EQ(error.at("code"), "overrun");
  EXPECT_EQ(error.at("id"), "s");
  EXPECT_EQ(number(error, "from"), 2u);
  EXPECT_EQ(number(error, "to"), 4u);
  EXPECT_THAT(std::string(error.at("message").as_string()), ::testing::HasSubstr("millrace consumers reset"));
  ASSERT_TRUE(eventually([&] { return !source_.consumer("risk")->held; })) << "who is refused has no name";
  subscribe(client, R"(,"consumer":"risk","on_deleted":"skip")");
  EXPECT_EQ(number(client.receive_type("subscribed"), "first_offset"), 2u);
  const auto gap = client.receive_type("gap");
  EXPECT_EQ(gap.at("reason"), "deleted");
  EXPECT_EQ(number(gap, "from"), 2u);
  EXPECT_EQ(number(gap, "to"), 4u);
  expect_events(client, 5, 10);
  // One whose start is deleted begins at the first there is.
  subscribe(client, R"(,"consumer":"new","start":{"offset":1},"on_deleted":"skip")");
  EXPECT_EQ(number(client.receive_type("subscribed"), "first_offset"), 5u);
  subscribe(client, R"(,"consumer":"newer","start":{"offset":1})");
  EXPECT_EQ(code(client), "offset_deleted");
}

TEST_F(ConsumerTest, AGatewayThatStopsFreesItsNames) {
  start();
  WsClient client = connect();
  subscribe(client, R"(,"consumer":"risk")");
  client.expect("subscribed");
  gateway_->stop();
  EXPECT_FALSE(source_.consumer("risk")->held);
}

}  // namespace
}  // namespace millrace::gateway
