// Proves that a subscription which begins with a snapshot has, at any moment, the state that a reader of everything
// has: from any start, under running publishers, while segments are sealed, noted and deleted, for a durable consumer,
// and after the log took events back.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <random>

#include "bus/bus.hpp"
#include "bus/snapshot_keys.hpp"
#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

using schemas::AccountEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

using Change = std::pair<std::string, std::int64_t>;  // account and currency; balance
using State = std::map<std::string, std::int64_t>;

Change change_of(const AccountEvent& event) {
  return {std::string(schemas::text(event.account())) + "/" + std::string(schemas::text(event.currency())),
          event.balance()};
}

// What one subscription was given, held against what it may rely on.
struct Told {
  State state;
  std::size_t of_snapshot = 0;
  std::optional<Offset> begin;  // of what follows the snapshot
  int ends = 0;
  std::optional<Offset> next;  // after the last event
  std::vector<Gap> gaps;

  Follower::Snapshot wish(const schemas::EventType& type) {
    return {snapshot_keys(type), [this](Offset end) {
              begin = next = end;
              ++ends;
            }};
  }
  Follower::OnGap on_gap() {
    return [this](const Gap& gap) {
      gaps.push_back(gap);
      if (gap.reason != Gap::Reason::rolled_back) return;
      state.clear();
      next.reset();
      of_snapshot = 0;
    };
  }
  std::size_t poll(Subscriber& subscriber, std::size_t limit = 1'000'000) {
    return subscriber.poll<AccountEvent>(
        [this](const AccountEvent& account, const Event& event) {
          ASSERT_TRUE(event.offset);
          const auto [key, balance] = change_of(account);
          if (event.snapshot) {
            EXPECT_TRUE(state.emplace(key, balance).second) << "one event a key";
            EXPECT_TRUE(!next || *event.offset >= *next) << "ascending";
            next = event.offset->next();
            ++of_snapshot;
          } else {
            EXPECT_GT(ends, 0) << "the snapshot ended before";
            EXPECT_EQ(event.offset->value(), next.value_or(Offset(~0ull)).value()) << "no hole and no duplicate";
            next = event.offset->next();
            state[key] = balance;
          }
        },
        limit);
  }
};

class SnapshotTest : public ::testing::Test {
 protected:
  MemoryBusOptions options() {
    MemoryBusOptions options;
    options.folder = "/log";
    options.type = "account_events";
    options.files = &disk_;
    options.log.segment_size = 64 * 1024;
    return options;
  }
  // Publishes a change of a random account, stepping the core whenever there is no page.
  void publish(MemoryBus& bus, Publisher& publisher, int count) {
    for (int i = 0; i < count;) {
      // Some accounts are rare, so that their last change lies far back.
      const std::uint64_t who = random_() % 100 == 0 ? 10 + random_() % 30 : random_() % 5;
      const char* currency = random_() % 2 == 0 ? "CNY" : "USD";
      const auto done = publisher.publish<AccountEvent>([&](AccountEvent& account) {
        schemas::set_text(account.mutable_account(), "a" + std::to_string(who));
        schemas::set_text(account.mutable_currency(), currency);
        account.mutate_balance(static_cast<std::int64_t>(balance_ + 1));
      });
      if (!done) {
        bus.step();
        continue;
      }
      ++balance_;
      ++i;
    }
  }
  // Everything there is, by the log alone.
  std::vector<Change> log() {
    auto reader = wal::Reader::open(disk_, "/log").value();
    first_ = reader.first_offset();
    std::vector<Change> changes;
    for (auto batch = reader.next(); batch && *batch; batch = reader.next()) {
      wal::EventCursor events(**batch);
      while (const auto event = events.next()) {
        changes.push_back(change_of(*flatbuffers::GetRoot<AccountEvent>(event->frame.payload().data())));
      }
    }
    return changes;
  }
  State state_before(Offset end) {
    State state;
    const auto changes = log();
    for (std::uint64_t i = 0; i < changes.size() && first_ + i < end; ++i) state[changes[i].first] = changes[i].second;
    return state;
  }
  Result<std::unique_ptr<Subscriber>> subscribe(MemoryBus& bus, Told& told, const Start& start = StartLatest{},
                                                Level level = Level::recorded) {
    return bus.subscribe(level, start, told.on_gap(), told.wish(bus.type()));
  }

  wal::FaultFileSystem disk_;
  ManualClock clock_;
  std::mt19937_64 random_{7};
  std::uint64_t balance_ = 0;
  Offset first_;
};

TEST_F(SnapshotTest, WithWhatFollowsItIsTheStateOfAFullScanAtAnyMomentFromAnyStart) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("ledger");
  std::list<std::pair<std::unique_ptr<Subscriber>, Told>> all;
  std::size_t snapshots = 0;
  for (int round = 0; round < 120; ++round) {
    publish(bus, *publisher, static_cast<int>(random_() % 60));
    bus.step();
    if (random_() % 2 == 0) (void)bus.keep_house();
    if (round % 4 == 0) {
      const Level level = round % 8 == 0 ? Level::recorded : Level::synced;
      const Start starts[] = {StartLatest{}, Offset(random_() % (bus.marks().topic.synced_end + 1)), StartEarliest{}};
      auto& [subscriber, told] = all.emplace_back();
      auto opened = subscribe(bus, told, starts[random_() % 3], level);
      ASSERT_TRUE(opened) << opened.error().message;
      subscriber = std::move(*opened);
    }
    for (auto& [subscriber, told] : all) {
      told.poll(*subscriber, random_() % 100);
      if (told.ends == 0) continue;
      ASSERT_EQ(told.state, state_before(*told.next)) << "as of " << told.next->value();
    }
  }
  for (int i = 0; i < 200 && bus.keep_house(); ++i) clock_.advance(std::chrono::milliseconds(20));
  bus.settle();
  const State now = state_before(Offset(~0ull));
  ASSERT_GT(now.size(), 20u);
  for (auto& [subscriber, told] : all) {
    told.poll(*subscriber);
    EXPECT_EQ(told.ends, 1);
    EXPECT_EQ(told.state, now);
    snapshots += told.of_snapshot;
  }
  EXPECT_GT(snapshots, 250u);
}

TEST_F(SnapshotTest, AnEmptyOneEndsToo) {
  MemoryBus bus(options(), clock_);
  Told told;
  auto subscriber = subscribe(bus, told).value();
  EXPECT_TRUE(subscriber->wait(std::chrono::nanoseconds(0))) << "there is its end to be told";
  EXPECT_EQ(told.poll(*subscriber), 0u);
  EXPECT_EQ(told.ends, 1);
  EXPECT_EQ(told.begin, Offset(0));
  EXPECT_FALSE(subscriber->wait(std::chrono::nanoseconds(0)));
  auto publisher = bus.publisher("ledger");
  publish(bus, *publisher, 3);
  bus.settle();
  EXPECT_EQ(told.poll(*subscriber), 3u);
  EXPECT_EQ(told.of_snapshot, 0u);
  EXPECT_EQ(told.ends, 1);
}

TEST_F(SnapshotTest, WithoutTheWishThereIsNone) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("ledger");
  publish(bus, *publisher, 10);
  bus.settle();
  auto subscriber = bus.subscribe(Level::recorded).value();
  EXPECT_EQ(subscriber->poll([](const Event&) {}), 0u);
}

TEST_F(SnapshotTest, OfADurableConsumerIsAsOfItsCheckpoint) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("ledger");
  publish(bus, *publisher, 200);
  bus.settle();
  const auto store = [&] {
    const auto records = bus.consumers().take_store(clock_.wall());
    if (records) bus.consumers().complete_store(bus.checkpoints().store(*records));
  };
  auto attachment = bus.attach_subscriber();
  ASSERT_TRUE(bus.hold(*attachment, "risk", false, Offset(120)));
  store();
  Told told;
  auto follower = Follower::open({std::make_shared<SubscriberLink>(), attachment}, Level::synced, StartLatest{},
                                 told.on_gap(), told.wish(bus.type()));
  ASSERT_TRUE(follower) << follower.error().message;
  Subscriber subscriber(std::move(*follower), bus.type());
  told.poll(subscriber);
  EXPECT_EQ(told.begin, Offset(120));
  EXPECT_EQ(told.next, Offset(200));
  EXPECT_EQ(told.state, state_before(Offset(200)));
  EXPECT_GT(told.of_snapshot, 5u);
}

TEST_F(SnapshotTest, ComesAnewWhereTheLogTookEventsBack) {
  auto settings = options();
  settings.policy = ring::StallPolicy::live_only;
  settings.ring_bytes = 16 * 4096;
  settings.log.linger = std::chrono::hours(1);
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("ledger");
  const auto record = [&] {
    while (bus.recorder().do_work(clock_.wall()) > 0) bus.grant();
  };
  const auto sync = [&] {
    const auto ticket = bus.recorder().take_sync(clock_.monotonic(), TopicRecorder::Sync::now);
    ASSERT_TRUE(ticket);
    bus.recorder().complete_sync(*ticket, ticket->run());
  };
  publish(bus, *publisher, 50);
  record();
  sync();
  const Offset synced(bus.marks().topic.synced_end);
  publish(bus, *publisher, 30);
  record();
  Told early, late;
  auto before = subscribe(bus, early, Offset(20)).value();
  auto after = subscribe(bus, late).value();
  early.poll(*before);
  late.poll(*after);
  ASSERT_GT(*late.begin, synced);
  disk_.fail_at(0, ErrorCode::io_failed, true);
  sync();
  ASSERT_EQ(bus.recorder().state(), TopicRecorder::State::failed);
  for (int i = 0; i < 1000; ++i) {  // several times round the ring: what was recorded is gone from the pages
    while (!publisher->publish<AccountEvent>(
        [&](AccountEvent& account) { schemas::set_text(account.mutable_account(), "new" + std::to_string(i % 3)); })) {
      bus.grant();
    }
  }
  disk_.heal();
  ASSERT_TRUE(bus.recorder().reopen(clock_.wall()));
  for (auto* told : {&early, &late}) {
    told->poll(told == &early ? *before : *after);
    EXPECT_EQ(told->ends, 2);
    EXPECT_EQ(told->begin, synced);
    EXPECT_EQ(told->state, state_before(*told->next));
  }
  record();
  for (auto* told : {&early, &late}) {
    told->poll(told == &early ? *before : *after);
    EXPECT_GT(*told->next, synced);
    EXPECT_EQ(told->state, state_before(*told->next));
    EXPECT_EQ(told->ends, 2);
  }
}

TEST_F(SnapshotTest, BeforeTheFirstOffsetThereIsRefused) {
  auto settings = options();
  settings.retention_bytes = 3 * 64 * 1024;
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("ledger");
  for (int i = 0; i < 60; ++i) {
    publish(bus, *publisher, 40);
    bus.step();
    while (bus.keep_house()) clock_.advance(std::chrono::milliseconds(20));
  }
  bus.settle();
  const Offset first = bus.recorder().first_offset();
  ASSERT_GT(first, Offset(0));
  Told refused;
  const auto early = subscribe(bus, refused, Offset(first.value() - 1));
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::deleted);
  Told told;
  auto subscriber = subscribe(bus, told, first).value();
  told.poll(*subscriber);
  EXPECT_EQ(told.of_snapshot, 0u);
  EXPECT_EQ(told.state, state_before(Offset(~0ull)));
  const auto names = disk_.list("/log").value();
  EXPECT_GT(std::ranges::count_if(names, [](const auto& name) { return name.ends_with(".keys"); }), 0)
      << "housekeeping notes keys";
}

}  // namespace
}  // namespace millrace
