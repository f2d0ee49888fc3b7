#include "bus/daemon/test/clients.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace millrace::testing {

std::unique_ptr<Bus> connect(const TestCore& core, const BusOptions& options) {
  BusOptions to = options;
  to.socket = core.socket();
  auto bus = Bus::connect(to);
  EXPECT_TRUE(bus) << bus.error().message;
  return bus ? std::move(*bus) : nullptr;
}

Published publish_numbered(Publisher& publisher) {
  const std::uint64_t number = publisher.next_sequence().value();
  return publisher.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) { trade.mutate_buy_order_id(number); });
}

std::optional<control::TopicStatusT> trade_events_status(Bus& bus) {
  auto report = bus.status();
  if (!report) return std::nullopt;
  for (auto& topic : report->topics) {
    if (topic->name == "trade_events") return std::move(*topic);
  }
  return std::nullopt;
}

Follow::Follow(Bus& bus, Level level)
    : subscriber_(bus.subscribe("trade_events", {.level = level, .start = StartEarliest{}, .on_gap = {}}).value()) {}

void Follow::poll() {
  subscriber_.poll<schemas::TradeEvent>(
      [this](const schemas::TradeEvent& trade, const Event& event) {
        ASSERT_EQ(event.offset, Offset(count_));
        ASSERT_EQ(event.sequence(), Sequence(count_ + 1));
        ASSERT_EQ(trade.buy_order_id(), event.sequence().value());
        ASSERT_GE(event.epoch, epoch_) << "of a process that was fenced";
        epoch_ = event.epoch;
        ++count_;
      },
      100'000);
}

bool Follow::until(std::uint64_t count) {
  return eventually([&] { return poll(), count_ >= count || ::testing::Test::HasFatalFailure(); });
}

}  // namespace millrace::testing
