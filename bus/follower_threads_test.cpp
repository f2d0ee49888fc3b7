// Proves that followers that start in the middle, and are lapped again and again by a publisher flat out, reach its
// last event without a gap or a duplicate. The rings are tiny: searches and leases are overtaken all the time.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "bus/base/temporary_folder.hpp"
#include "bus/testing/memory_bus.hpp"

namespace millrace {
namespace {

using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

constexpr std::uint64_t total = 200'000;

// One publisher: the event at offset n has sequence n + 1.
struct Late {
  std::unique_ptr<Subscriber> subscriber;
  Offset next;
  std::string wrong;
  bool was_live = false;

  std::size_t poll() {
    const std::size_t count = subscriber->poll<TradeEvent>(
        [this](const TradeEvent& trade, const Event& event) {
          if (wrong.empty() && (event.offset != next || trade.buy_order_id() != next.value() + 1)) {
            wrong = "offset " + std::to_string(event.offset->value()) + ", order " +
                    std::to_string(trade.buy_order_id()) + " instead of offset " + std::to_string(next.value());
          }
          next = event.offset->next();
        },
        100);
    was_live = was_live || !subscriber->follower()->freshness().replaying;
    return count;
  }
};

struct Rings {
  std::string name;
  std::size_t ring_bytes;
  std::size_t order_capacity;
};
class LappedFollowers : public ::testing::TestWithParam<Rings> {};
INSTANTIATE_TEST_SUITE_P(Tiny, LappedFollowers,
                         ::testing::Values(Rings{"Pages", 64 << 10, 1 << 16}, Rings{"OrderRing", 4 << 20, 8},
                                           Rings{"Both", 64 << 10, 16}),
                         [](const auto& rings) { return rings.param.name; });

TEST_P(LappedFollowers, ReachTheLastEventWithoutGapOrDuplicate) {
  const TemporaryFolder folder;
  ManualClock clock;
  {
    MemoryBusOptions options;
    options.folder = folder.at("log");
    options.log.segment_size = 1 << 20;
    options.ring_bytes = GetParam().ring_bytes;
    options.order_capacity = GetParam().order_capacity;
    MemoryBus bus(options, clock);
    const auto publisher = bus.publisher("flat-out");
    const auto publish = [&](std::uint64_t until, const auto& when_full) {
      while (publisher->next_sequence() <= Sequence(until)) {
        const auto published = publisher->publish<TradeEvent>(
            [&](TradeEvent& trade) { trade.mutate_buy_order_id(publisher->next_sequence().value()); });
        if (!published) when_full();
      }
    };
    publish(total / 4, [&] { bus.step(); });
    bus.settle();
    std::vector<Late> late;
    for (const Level level : {Level::recorded, Level::synced, Level::recorded}) {
      const Offset middle(total / 8);
      late.push_back({bus.subscribe(level, middle).value(), middle, "", false});
    }
    std::vector<std::jthread> threads;
    threads.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) bus.step();
    });
    threads.emplace_back([&] { publish(total, [] { std::this_thread::yield(); }); });
    {
      std::vector<std::jthread> followers;
      for (Late& one : late) {
        followers.emplace_back([&one] {
          const MonotonicTime end = system_clock().monotonic() + std::chrono::seconds(60);
          while (one.next < Offset(total) && one.wrong.empty() && !one.subscriber->follower()->error() &&
                 system_clock().monotonic() < end) {
            if (one.poll() == 0) std::this_thread::yield();
          }
        });
      }
    }
    for (const Late& one : late) {
      const Follower& follower = *one.subscriber->follower();
      EXPECT_EQ(one.wrong, "");
      EXPECT_EQ(follower.error() ? follower.error()->message : "", "");
      EXPECT_EQ(one.next, Offset(total)) << "replaying " << follower.freshness().replaying;
      EXPECT_TRUE(one.was_live);
    }
  }
}

}  // namespace
}  // namespace millrace
