// Proves the whole way over buses in memory: orders published on `orders` are matched once they are recorded, and what
// they lead to is recorded with its cause, though rings are small and full most of the time.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "bus/base/temporary_folder.hpp"
#include "bus/testing/memory_bus.hpp"
#include "publishers/matching/paced_flow.hpp"
#include "publishers/matching/service.hpp"
#include "publishers/matching/test_venue.hpp"
#include "publishers/matching/topic_source.hpp"

namespace millrace::matching {
namespace {

class VenueBusTest : public ::testing::Test {
 protected:
  std::unique_ptr<testing::MemoryBus> bus(const std::string& topic) {
    testing::MemoryBusOptions options;
    options.folder = folder_.at(topic);
    options.type = topic;
    options.log.segment_size = 1 << 20;
    return std::make_unique<testing::MemoryBus>(options, clock_);
  }

  TemporaryFolder folder_;
  ManualClock clock_;
};

TEST_F(VenueBusTest, GeneratedOrdersTradeThroughTheBus) {
  const auto orders = bus("orders");
  const auto trades = bus("trade_events");
  const auto reports = bus("order_events");
  const auto depth = bus("market_l2");
  const auto order_publisher = orders->publisher("order-flow");
  const auto trade_publisher = trades->publisher("matching");
  const auto report_publisher = reports->publisher("matching");
  const auto depth_publisher = depth->publisher("matching");
  auto order_subscriber = orders->subscribe(Level::recorded);
  auto trade_subscriber = trades->subscribe(Level::recorded);
  ASSERT_TRUE(order_subscriber && trade_subscriber);

  auto venue = open_venue(demo_instruments());
  TopicSource source(**order_subscriber);
  BusOutlet outlet({*trade_publisher, *report_publisher, *depth_publisher});
  Service service(*venue, source, outlet);
  FlowPublisher flow({.seed = 4, .commands_per_second = 2000}, *order_publisher, clock_);

  std::uint64_t published = 0;
  std::uint64_t seen = 0;
  std::map<std::string, std::uint64_t> numbers;  // last trade of each instrument
  const auto on_trade = [&](const schemas::TradeEvent& trade, const Event& event) {
    ++seen;
    const std::string instrument(schemas::text(trade.instrument()));
    EXPECT_EQ(schemas::text(trade.trade_id()), "7-" + std::to_string(++numbers[instrument]));
    ASSERT_TRUE(event.frame.cause());
    EXPECT_LT(event.frame.cause()->value(), published);
  };
  for (int i = 0; i < 200; ++i) {
    clock_.advance(std::chrono::milliseconds(10));
    published += flow.do_work({});
    orders->step();
    (void)service.do_work({});
    if (i % 8 == 7) {  // the disks are slow
      trades->settle();
      reports->settle();
      depth->settle();
    }
    (void)(*trade_subscriber)->poll<schemas::TradeEvent>(on_trade);
  }
  for (int i = 0; i < 2000 && (service.commands() < published || service.waiting() > 0); ++i) {
    orders->settle();
    (void)service.do_work({});
    trades->settle();
    reports->settle();
    depth->settle();
  }
  while ((*trade_subscriber)->poll<schemas::TradeEvent>(on_trade) > 0) {
  }
  EXPECT_FALSE(service.error());
  EXPECT_NEAR(static_cast<double>(published), 4000, 400);
  EXPECT_EQ(service.commands(), published);
  EXPECT_GT(seen, 300u);
  EXPECT_EQ(seen, trade_publisher->next_sequence().value() - 1);
  EXPECT_GT(depth_publisher->back_pressured(), 0u) << "a test of waiting must have waited";
}

}  // namespace
}  // namespace millrace::matching
