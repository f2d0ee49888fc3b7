// Proves that bad input of every kind is answered or cut off, counted, and disturbs nobody else.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;

class LimitsTest : public testing::WithGateway {
 protected:
  void start() {
    options_.heartbeat = std::chrono::milliseconds(20);  // and with it the tick that watches time limits
    WithGateway::start();
    witness_ = std::make_unique<WsClient>(gateway_->port());
    witness_->send(R"({"op":"subscribe","topic":"trade_events"})");
    witness_->expect("subscribed");
  }
  // Somebody else still gets every event.
  void expect_undisturbed() {
    const Offset offset = source_.publish_numbered(0, "A");
    const auto events = witness_->receive_events(1);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].at("offset").to_number<std::uint64_t>(), offset.value());
  }

  std::unique_ptr<WsClient> witness_;
};

TEST_F(LimitsTest, GarbageIsAnsweredWithAnErrorAndTheSessionGoesOn) {
  start();
  WsClient client(gateway_->port());
  for (const std::string_view garbage : {"", "{", "[]", "hello", "\"text\"", "{\"op\":17}", "[[[[[[[[[[[[[[[["}) {
    client.send(garbage);
    EXPECT_FALSE(client.receive_type("error").is_null()) << garbage;
  }
  client.send_binary("\x00\x01\x02");
  EXPECT_EQ(client.receive_type("error").at("code"), "binary_request");
  client.send(R"({"op":"ping","id":1})");
  EXPECT_EQ(client.receive_type("pong").at("id"), 1);
  EXPECT_EQ(gateway_->count(Counter::requests_bad), 8u);
  expect_undisturbed();
}

TEST_F(LimitsTest, ATooLargeRequestClosesTheSessionWith1009) {
  start();
  WsClient client(gateway_->port());
  client.send(std::string(options_.request_size_max + 1, ' '));
  EXPECT_FALSE(client.receive());
  EXPECT_EQ(client.close_code(), 1009);
  EXPECT_TRUE(eventually(Counter::requests_oversize, 1));
  expect_undisturbed();
}

TEST_F(LimitsTest, HalfAFrameAndAVanishedClientAreCounted) {
  start();
  WsClient client(gateway_->port());
  client.send_raw(std::string("\x81\xfe", 2));  // a masked text frame whose length never comes
  client.reset();
  EXPECT_TRUE(eventually(Counter::sessions_broken, 1));
  expect_undisturbed();
}

TEST_F(LimitsTest, BytesThatAreNoWebSocketFrameCloseTheSession) {
  start();
  WsClient client(gateway_->port());
  client.send_raw(std::string(64, '\xff'));
  EXPECT_FALSE(client.receive());
  EXPECT_EQ(client.close_code(), 1002);
  EXPECT_TRUE(eventually(Counter::sessions_broken, 1));
  expect_undisturbed();
}

TEST_F(LimitsTest, OverTheLimitOfSessionsTheUpgradeIsAnswered503) {
  options_.sessions_max = 3;
  start();
  WsClient one(gateway_->port());
  WsClient two(gateway_->port());
  EXPECT_TRUE(one.connected() && two.connected());
  const WsClient three(gateway_->port());
  EXPECT_FALSE(three.connected());
  EXPECT_EQ(three.status(), 503u);
  EXPECT_EQ(gateway_->count(Counter::sessions_refused), 1u);
  expect_undisturbed();
}

TEST_F(LimitsTest, AThousandConnectionsAllGetTheSameEvents) {
  raise_descriptor_limit();  // both ends of each are in this process
  start();
  std::vector<WsClient> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(gateway_->port());
    ASSERT_TRUE(clients.back().connected()) << i;
    clients.back().send(R"({"op":"subscribe","topic":"trade_events"})");
  }
  for (WsClient& client : clients) ASSERT_FALSE(client.receive_type("subscribed").is_null());
  for (int i = 0; i < 10; ++i) source_.publish_numbered(0, "A");
  for (WsClient& client : clients) {
    const auto events = client.receive_events(10);
    ASSERT_EQ(events.size(), 10u);
    EXPECT_EQ(events.back().at("offset"), 9);
  }
  EXPECT_EQ(gateway_->count(Counter::json_encoded), 10u);
}

TEST_F(LimitsTest, AConnectionThatNeverAsksIsClosed) {
  options_.http_timeout = std::chrono::milliseconds(50);
  start();
  EXPECT_EQ(client::http_raw(gateway_->port(), "GET / HT").status, 0u);
  EXPECT_TRUE(eventually(Counter::http_timeouts, 1));
  expect_undisturbed();
}

TEST_F(LimitsTest, ASessionWithoutASubscriptionIsClosedAfterAWhile) {
  options_.idle_timeout = std::chrono::milliseconds(50);
  start();
  WsClient client(gateway_->port());
  EXPECT_FALSE(client.receive());
  EXPECT_EQ(client.close_code(), 1008);
  EXPECT_EQ(client.close_reason(), "idle: no subscription and no request");
  EXPECT_EQ(gateway_->count(Counter::sessions_idle), 1u);
  expect_undisturbed();
}

TEST_F(LimitsTest, APageOfAnotherSiteIsRefused) {
  start();
  const WsClient foreign(gateway_->port(), {.receive_buffer = 0, .origin = "https://example.org"});
  EXPECT_EQ(foreign.status(), 403u);
  const WsClient own(gateway_->port(),
                     {.receive_buffer = 0, .origin = "http://127.0.0.1:" + std::to_string(gateway_->port())});
  EXPECT_TRUE(own.connected());
}

TEST_F(LimitsTest, AnAddressInUseIsAnErrorThatNamesIt) {
  start();
  GatewayOptions same = options_;
  same.port = gateway_->port();
  Gateway second(source_, same);
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::in_use);
  EXPECT_NE(started.error().message.find("127.0.0.1:" + std::to_string(same.port)), std::string::npos);
}

}  // namespace
}  // namespace millrace::gateway
