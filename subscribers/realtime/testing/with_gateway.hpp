// A gateway on events in memory, for tests of what its clients see.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "subscribers/realtime/client/ws_client.hpp"
#include "subscribers/realtime/gateway.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace millrace::gateway::testing {

inline std::uint64_t number(const boost::json::value& object, const char* field) {
  return object.at(field).to_number<std::uint64_t>();
}

class WithGateway : public ::testing::Test {
 protected:
  explicit WithGateway(const std::vector<std::string>& topics = {"trade_events", "market_l2"}) : source_(topics) {
    options_.port = 0;
  }
  void start() {
    gateway_ = std::make_unique<Gateway>(source_, options_);
    const auto started = gateway_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  [[nodiscard]] client::WsClient connect() const { return client::WsClient(gateway_->port()); }
  void publish(std::size_t count, std::string_view instrument = "A") {
    for (std::size_t i = 0; i < count; ++i) source_.publish_numbered(0, instrument);
  }
  // Not for asserting on time: it ends as soon as it is so, and only a test that would fail waits long.
  [[nodiscard]] static bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  [[nodiscard]] bool eventually(Counter counter, std::uint64_t at_least) const {
    return eventually([&] { return gateway_->count(counter) >= at_least; });
  }
  // The next heartbeats say so; nothing but heartbeats comes.
  static void expect_quiet_at(client::WsClient& client, std::uint64_t next) {
    for (int i = 0; i < 3; ++i) {
      const auto message = boost::json::parse(client.receive().value_or("{}"));
      ASSERT_EQ(message.at("type"), "heartbeat") << message;
      ASSERT_EQ(number(message, "next_offset"), next);
    }
  }

  MemorySource source_;
  GatewayOptions options_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace millrace::gateway::testing
