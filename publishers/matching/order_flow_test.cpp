// Proves that the order flow is reproducible, keeps to its rate and to each instrument's grid, and makes a market: a
// two-sided book of bounded size, trades, and few commands that miss their order.
#include "publishers/matching/order_flow.hpp"

#include <gtest/gtest.h>

#include <map>

#include "publishers/matching/test_exchange.hpp"

namespace millrace::matching {
namespace {

TEST(OrderFlow, IsTheSameForTheSameSeedAndOtherForAnother) {
  const auto commands = [](std::uint64_t seed) {
    OrderFlow flow({.seed = seed});
    std::vector<std::pair<Input, Command>> all;
    for (int i = 0; i < 5000; ++i) {
      const auto next = flow.next();
      all.emplace_back(next.input, next.command);
    }
    return all;
  };
  const auto first = commands(7);
  EXPECT_EQ(first, commands(7));
  EXPECT_NE(first, commands(8));
}

TEST(OrderFlow, KeepsToItsRateInVirtualTime) {
  OrderFlow flow({.commands_per_second = 50'000.0, .start = WallTime{1'000}});
  WallTime last{1'000};
  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    const auto next = flow.next();
    ASSERT_EQ(next.input.number, InputNumber(i));
    ASSERT_GE(next.input.time, last);
    last = next.input.time;
  }
  EXPECT_NEAR(static_cast<double>(last.ns), 2e9, 4e7);
}

TEST(OrderFlow, MakesATwoSidedMarketWithTradesAndFewMisses) {
  EventRecorder recorder;
  Engine engine(recorder);
  for (const auto& config : demo_instruments()) ASSERT_TRUE(engine.add_instrument(config));
  OrderFlow flow({.seed = 3});
  constexpr int kCommands = 200'000;
  std::map<RejectReason, int> rejected;
  std::map<InstrumentId, int> trades;
  int total_rejected = 0;
  for (int i = 0; i < kCommands; ++i) {
    recorder.events.clear();
    const auto next = flow.next();
    engine.apply(next.input, next.command);
    for (const auto& event : recorder.events) {
      if (const auto* reject = std::get_if<Rejected>(&event)) ++rejected[reject->reason], ++total_rejected;
      if (const auto* trade = std::get_if<Trade>(&event)) ++trades[trade->head.instrument];
    }
  }
  EXPECT_EQ(rejected[RejectReason::bad_tick] + rejected[RejectReason::bad_lot] +
                rejected[RejectReason::price_out_of_range] + rejected[RejectReason::quantity_out_of_range] +
                rejected[RejectReason::duplicate_order] + rejected[RejectReason::not_owner],
            0);
  EXPECT_LT(total_rejected, kCommands / 8);
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_GT(trades[InstrumentId(i)], 500) << i;
    const auto depth = engine.depth(InstrumentId(i));
    EXPECT_EQ(depth.bid_count, kDepthLevels);
    EXPECT_EQ(depth.ask_count, kDepthLevels);
    const auto orders = engine.instrument(InstrumentId(i)).book.order_count();
    EXPECT_GT(orders, 200u) << i;
    EXPECT_LT(orders, 10'000u) << i;
  }
}

}  // namespace
}  // namespace millrace::matching
