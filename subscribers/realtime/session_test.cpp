// Proves what a WebSocket client may rely on: every event once and in order whatever the start and however slow it is,
// filters, formats, heartbeats, and that one client's faults are its own.
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>

#include "subscribers/realtime/gateway.hpp"
#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"
#include "subscribers/realtime/testing/ws_client.hpp"

namespace millrace::gateway {
namespace {

using testing::MemorySource;
using testing::WsClient;
namespace json = boost::json;

class SessionTest : public ::testing::Test {
 protected:
  void start() {
    options_.port = 0;
    gateway_ = std::make_unique<Gateway>(source_, options_);
    const auto started = gateway_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  [[nodiscard]] WsClient connect() { return WsClient(gateway_->port()); }
  void publish(std::size_t count, std::string_view instrument = "A", std::size_t padding = 0) {
    for (std::size_t i = 0; i < count; ++i) source_.publish_numbered(0, instrument, padding);
  }
  // Not for asserting on time: it ends as soon as the count is there, and only a test that would fail waits long.
  [[nodiscard]] bool eventually(Counter counter, std::uint64_t at_least) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (gateway_->count(counter) < at_least) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  MemorySource source_{{"trade_events", "market_l2"}};
  GatewayOptions options_;
  std::unique_ptr<Gateway> gateway_;
};

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
  EXPECT_EQ(events[0].at("data").at("n"), 3);
}

}  // namespace
}  // namespace millrace::gateway
