// Proves that a follower that starts in the middle of the log catches up and goes on live, without a gap or a
// duplicate, while the publisher runs flat out.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "bus/daemon/test/clients.hpp"

namespace millrace {
namespace {

using testing::connect;
using testing::eventually;
using testing::TestCore;

constexpr std::uint64_t total = 3'000'000;
constexpr int followers_per_level = 3;

// One that starts at `start` and checks that nothing is missing, repeated or altered.
struct Late {
  Subscriber subscriber;
  Offset start;
  Offset next;
  std::uint64_t replayed = 0;
  bool was_live = false;
  std::string wrong;

  Late(Bus& bus, Level level, Offset from)
      : subscriber(*bus.subscribe("trade_events", {.level = level, .start = from, .on_gap = {}})),
        start(from),
        next(from) {}

  std::size_t poll() {
    const bool replaying = subscriber.follower()->freshness().replaying;
    const std::size_t count = subscriber.poll<schemas::TradeEvent>(
        [this](const schemas::TradeEvent& trade, const Event& event) {
          // One publisher: its sequences are the offsets, from 1.
          if (event.offset != next || event.sequence().value() != next.value() + 1 ||
              trade.buy_order_id() != next.value() + 1) {
            std::ostringstream text;
            text << "wanted offset " << next.value() << ", got " << event.offset->value() << ", sequence "
                 << event.sequence().value() << ", order " << trade.buy_order_id();
            if (wrong.empty()) wrong = text.str();
          }
          next = event.offset->next();
        },
        1000);
    const bool live = !subscriber.follower()->freshness().replaying;
    was_live = was_live || live;
    if (replaying && !live) replayed += count;
    return count;
  }

  [[nodiscard]] bool done() { return next == Offset(total) || !wrong.empty() || subscriber.follower()->error(); }

  [[nodiscard]] std::string account() {
    const Follower& follower = *subscriber.follower();
    const Follower::Freshness fresh = follower.freshness();
    std::ostringstream text;
    text << "start " << start.value() << ", next " << fresh.next.value() << ", recorded end "
         << fresh.recorded_end.value() << ", synced end " << fresh.synced_end.value()
         << (fresh.replaying ? ", replaying" : ", live") << ", heals " << follower.heals() << ", replayed " << replayed;
    if (follower.error()) text << ", error: " << follower.error()->message;
    return text.str();
  }
};

TEST(CatchUp, AFollowerThatStartsInTheMiddleOfAPublisherFlatOutReachesLiveWithoutGapOrDuplicate) {
  TestCore core;
  auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "flat-out");
  ASSERT_TRUE(publisher) << publisher.error().message;
  std::atomic<bool> failed{false};
  std::atomic<bool> stop{false};
  std::jthread publishing([&] {
    BackOffIdle idle;
    for (std::uint64_t i = 0; i < total && !stop;) {
      const Published published = publisher->publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
        trade.mutate_buy_order_id(publisher->next_sequence().value());
        schemas::set_text(trade.mutable_instrument(), "MILL");
      });
      if (published.status == PublishStatus::closed) return failed.store(true);
      i += published ? 1 : 0;
      idle.idle(published ? 1 : 0);
    }
    while (!stop && publisher->recorded_sequence() < Sequence(total)) {
      publisher->idle();
      idle.idle(0);
    }
  });

  Subscriber watch =
      *bus->subscribe("trade_events", {.level = Level::recorded, .start = StartEarliest{}, .on_gap = {}});
  const auto recorded = [&] { return watch.follower()->freshness().recorded_end; };
  ASSERT_TRUE(eventually([&] { return recorded() > Offset(total / 3) || failed; }));
  std::vector<std::unique_ptr<Late>> late;
  for (int i = 0; i < followers_per_level; ++i) {
    for (const Level level : {Level::recorded, Level::synced}) {
      const Offset half(watch.follower()->freshness().synced_end.value() / 2);
      late.push_back(std::make_unique<Late>(*bus, level, half));
    }
  }
  {
    std::vector<std::jthread> threads;
    for (auto& one : late) {
      threads.emplace_back([&one, &failed] {
        BackOffIdle idle;
        const MonotonicTime end = system_clock().monotonic() + std::chrono::seconds(120);
        while (!one->done() && !failed && system_clock().monotonic() < end) idle.idle(one->poll());
      });
    }
  }
  stop = true;
  EXPECT_FALSE(failed) << publisher->error().message;
  for (auto& one : late) {
    EXPECT_EQ(one->wrong, "") << one->account();
    EXPECT_EQ(one->next, Offset(total)) << one->account();
    EXPECT_TRUE(one->was_live) << one->account();
    EXPECT_GT(one->replayed, 20'000u) << one->account();
  }
}

}  // namespace
}  // namespace millrace
