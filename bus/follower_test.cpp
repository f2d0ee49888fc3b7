// Proves what subscribers may rely on, over a bus in memory that is stepped by hand: each event once and in order at
// every level, from any start, through lapping, the core's death and the publisher's.
#include "bus/follower.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "bus/base/temporary_folder.hpp"
#include "bus/testing/memory_bus.hpp"

namespace millrace {
namespace {

using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

class BusTest : public ::testing::Test {
 protected:
  MemoryBusOptions options() const {
    MemoryBusOptions options;
    options.folder = folder_.at("log");
    options.log.segment_size = 1 << 20;
    return options;
  }

  static bool publish(Publisher& publisher) {
    const std::uint64_t number = publisher.next_sequence().value();
    return static_cast<bool>(publisher.publish<TradeEvent>([number](TradeEvent& trade) {
      trade.mutate_buy_order_id(number);
      schemas::set_text(trade.mutable_instrument(), "MILL");
    }));
  }
  // Publishes, stepping the core whenever there is no page.
  static void publish(MemoryBus& bus, Publisher& publisher, int count) {
    for (int i = 0; i < count;) {
      if (publish(publisher)) {
        ++i;
      } else {
        bus.step();
      }
    }
  }

  TemporaryFolder folder_;
  ManualClock clock_;
};

// Checks each event against the number it was given, and counts.
struct Seen {
  std::uint64_t count = 0;
  std::uint64_t first_offset = 0;
  Sequence last;

  std::size_t poll(Subscriber& subscriber, std::size_t limit = 1'000'000) {
    return subscriber.poll<TradeEvent>(
        [this](const TradeEvent& trade, const Event& event) {
          EXPECT_EQ(trade.buy_order_id(), event.sequence().value());
          EXPECT_TRUE(count == 0 || event.sequence() == last.next());
          if (event.offset) {
            if (count == 0) first_offset = event.offset->value();
            EXPECT_EQ(event.offset->value(), first_offset + count);
          }
          last = event.sequence();
          ++count;
        },
        limit);
  }
};

TEST_F(BusTest, APublisherIsAdmittedUnderEverySyncPolicy) {
  for (const auto policy : {wal::SyncPolicy::always, wal::SyncPolicy::interval, wal::SyncPolicy::none}) {
    MemoryBusOptions options = this->options();
    options.folder += std::to_string(static_cast<int>(policy));
    options.log.policy = policy;
    options.log.interval = std::chrono::hours(1);
    MemoryBus bus(options, clock_);
    const auto subscriber = bus.subscribe(Level::recorded, StartEarliest{}).value();
    const auto publisher = bus.publisher("matching");
    EXPECT_EQ(publisher->epoch(), Epoch(1));
    publish(bus, *publisher, 10);
    bus.step();
    Seen seen;
    EXPECT_EQ(seen.poll(*subscriber), 10u);
  }
}

TEST_F(BusTest, EveryLevelSeesEachEventOnceAndInOrder) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  auto live = bus.subscribe(Level::live);
  auto recorded = bus.subscribe(Level::recorded);
  auto synced = bus.subscribe(Level::synced);
  ASSERT_TRUE(live && recorded && synced);
  Seen seen_live, seen_recorded, seen_synced;
  for (int round = 0; round < 50; ++round) {
    publish(bus, *publisher, 40);
    seen_live.poll(**live);
    EXPECT_EQ(seen_live.last.value(), (round + 1) * 40u) << "live needs no recorder";
    bus.step();
    seen_recorded.poll(**recorded);
    seen_synced.poll(**synced);
    EXPECT_LE(seen_synced.count, seen_recorded.count);
  }
  bus.settle();
  seen_recorded.poll(**recorded);
  seen_synced.poll(**synced);
  EXPECT_EQ(seen_live.count, 2000u);
  EXPECT_EQ(seen_recorded.count, 2000u);
  EXPECT_EQ(seen_synced.count, 2000u);
  EXPECT_EQ((*recorded)->follower()->heals(), 0u);
}

TEST_F(BusTest, AnEventIsNotShownAtSyncedBeforeItIsOnTheDisk) {
  auto settings = options();
  settings.log.linger = std::chrono::seconds(1);
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("maker");
  auto synced = bus.subscribe(Level::synced);
  auto recorded = bus.subscribe(Level::recorded);
  publish(bus, *publisher, 5);
  bus.step();
  Seen seen_synced, seen_recorded;
  EXPECT_EQ(seen_recorded.poll(**recorded), 5u);
  EXPECT_EQ(seen_synced.poll(**synced), 0u);
  EXPECT_EQ(publisher->synced_sequence(), Sequence(0));
  clock_.advance(std::chrono::seconds(2));
  bus.settle();
  EXPECT_EQ(seen_synced.poll(**synced), 5u);
  EXPECT_EQ(publisher->synced_sequence(), Sequence(5));
}

TEST_F(BusTest, AReadEventLiesInThePublishersPage) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  auto recorded = bus.subscribe(Level::recorded);
  const std::byte* built = nullptr;
  ASSERT_TRUE(
      publisher->publish<TradeEvent>([&](TradeEvent& trade) { built = reinterpret_cast<const std::byte*>(&trade); }));
  bus.step();
  const std::byte* read = nullptr;
  (*recorded)->poll<TradeEvent>(
      [&](const TradeEvent& trade, const Event&) { read = reinterpret_cast<const std::byte*>(&trade); });
  EXPECT_EQ(read, built) << "no byte is copied between publisher and subscriber";
}

TEST_F(BusTest, AFollowerStartsAnywhereAndGoesOnLive) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  publish(bus, *publisher, 3000);
  bus.settle();
  const WallTime middle = clock_.wall();
  publish(bus, *publisher, 2000);
  bus.settle();
  const struct {
    Start start;
    std::uint64_t first;
  } cases[] = {{StartEarliest{}, 1}, {Offset(1234), 1235}, {StartLatest{}, 5001}, {middle, 3001}, {Offset(5000), 5001}};
  std::vector<std::pair<std::unique_ptr<Subscriber>, Seen>> followers;
  for (const auto& c : cases) {
    auto subscriber = bus.subscribe(Level::recorded, c.start);
    ASSERT_TRUE(subscriber) << subscriber.error().message;
    followers.emplace_back(std::move(*subscriber), Seen{});
  }
  publish(bus, *publisher, 500);
  bus.settle();
  for (std::size_t i = 0; i < followers.size(); ++i) {
    Seen& seen = followers[i].second;
    seen.poll(*followers[i].first);
    EXPECT_EQ(seen.last, Sequence(5500)) << i;
    EXPECT_EQ(seen.count, 5500 - cases[i].first + 1) << i;
    EXPECT_FALSE(followers[i].first->follower()->freshness().replaying) << i;
  }
}

TEST_F(BusTest, AStartThatIsNotThereIsRefusedWithWhatThereIs) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  publish(bus, *publisher, 10);
  bus.settle();
  auto beyond = bus.subscribe(Level::recorded, Offset(11));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(beyond.error().message.find("10"), std::string::npos);
  Position position = (*bus.subscribe(Level::recorded))->follower()->position();
  EXPECT_TRUE(bus.subscribe(Level::recorded, position));
  ++position.offset;
  EXPECT_EQ(bus.subscribe(Level::recorded, position).error().code, ErrorCode::rolled_back);
  position.log_id = LogId{random_uuid_bytes()};
  EXPECT_EQ(bus.subscribe(Level::recorded, position).error().code, ErrorCode::invalid_argument);
}

TEST_F(BusTest, AFollowerThatIsLappedHealsFromTheLog) {
  auto settings = options();
  settings.ring_bytes = 80 * 1024;
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("maker");
  auto subscriber = bus.subscribe(Level::recorded);
  Seen seen;
  publish(bus, *publisher, 10);
  bus.settle();
  seen.poll(**subscriber, 5);
  publish(bus, *publisher, 5000);
  bus.settle();
  publish(bus, *publisher, 10);
  bus.settle();
  while (seen.poll(**subscriber, 100) > 0) {
  }
  EXPECT_EQ(seen.count, 5020u);
  EXPECT_GT((*subscriber)->follower()->heals(), 0u);
  EXPECT_FALSE((*subscriber)->follower()->freshness().replaying);
}

TEST_F(BusTest, ALiveReaderThatIsLappedIsToldWhatItMissed) {
  auto settings = options();
  settings.ring_bytes = 80 * 1024;
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("maker");
  std::uint64_t missed = 0;
  auto live = bus.subscribe(Level::live, StartLatest{}, [&](const Gap& gap) {
    EXPECT_EQ(gap.reason, Gap::Reason::lapped);
    missed += gap.to - gap.from + 1;
  });
  std::uint64_t count = 0;
  Sequence last;
  const auto poll = [&] {
    (*live)->poll(
        [&](const Event& event) {
          EXPECT_GT(event.sequence(), last);
          last = event.sequence();
          ++count;
        },
        1'000'000);
  };
  publish(bus, *publisher, 1);
  poll();
  publish(bus, *publisher, 5000);
  poll();
  EXPECT_EQ(last, Sequence(5001));
  EXPECT_GT(missed, 0u);
  EXPECT_EQ(count + missed, 5001u) << "the books balance";
}

TEST_F(BusTest, AfterTheCoresDeathNothingIsLostAndEverybodyGoesOn) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  auto live = bus.subscribe(Level::live);
  auto recorded = bus.subscribe(Level::recorded);
  Seen seen_live, seen_recorded;
  for (int round = 1; round <= 5; ++round) {
    publish(bus, *publisher, 100);
    bus.step();
    seen_recorded.poll(**recorded, 50);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(publish(*publisher));  // committed, and never seen by the core's recorder
    bus.restart_core();
    publish(bus, *publisher, 100);
    bus.settle();
    seen_live.poll(**live);
    seen_recorded.poll(**recorded);
    EXPECT_EQ(seen_recorded.count, round * 220u);
    EXPECT_EQ(seen_live.last, Sequence(round * 220u));
    EXPECT_EQ(publisher->epoch(), Epoch(1)) << "the same incarnation keeps its epoch";
  }
}

TEST_F(BusTest, WhatWasPublishedWhileTheCoreWasAwayIsOfferedAgain) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  auto recorded = bus.subscribe(Level::recorded);
  publish(bus, *publisher, 10);
  // The dead core's salvage runs inside; these follow it, into the old ring, before the publisher learns of the death.
  bus.restart_core([&] {
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(publish(*publisher));
  });
  publish(bus, *publisher, 10);
  bus.settle();
  Seen seen;
  seen.poll(**recorded);
  EXPECT_EQ(seen.count, 50u);
  EXPECT_EQ(bus.recorder().counters().sequence_errors, 0u);
}

TEST_F(BusTest, ADeadPublishersNameComesBackUnderANewEpochAndItsSequenceGoesOn) {
  MemoryBus bus(options(), clock_);
  auto recorded = bus.subscribe(Level::recorded);
  Seen seen;
  for (std::uint64_t life = 1; life <= 4; ++life) {
    auto publisher = bus.publisher("maker");
    EXPECT_EQ(publisher->epoch(), Epoch(life));
    EXPECT_EQ(publisher->next_sequence(), Sequence((life - 1) * 77 + 1));
    publish(bus, *publisher, 77);
    bus.publisher_died("maker");
    seen.poll(**recorded);
    EXPECT_EQ(seen.count, life * 77);
  }
}

TEST_F(BusTest, APublisherMeetsBackPressureWhenTheRecorderStandsStill) {
  auto settings = options();
  settings.ring_bytes = 80 * 1024;
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("maker");
  int published = 0;
  while (publish(*publisher)) ++published;
  EXPECT_EQ(publisher->publish<TradeEvent>([](TradeEvent&) {}).status, PublishStatus::back_pressured);
  bus.settle();
  EXPECT_TRUE(publish(*publisher));
  bus.settle();
  EXPECT_EQ(bus.recorder().counters().events, static_cast<std::uint64_t>(published) + 1);
}

TEST_F(BusTest, UnderLiveOnlyTheLogNamesWhatItNeverHad) {
  auto settings = options();
  settings.ring_bytes = 80 * 1024;
  settings.policy = ring::StallPolicy::live_only;
  MemoryBus bus(settings, clock_);
  auto publisher = bus.publisher("maker");
  std::uint64_t missing = 0;
  auto recorded = bus.subscribe(Level::recorded, StartLatest{}, [&](const Gap& gap) {
    EXPECT_EQ(gap.reason, Gap::Reason::not_recorded);
    missing += gap.to - gap.from + 1;
  });
  publish(bus, *publisher, 10);
  bus.settle();
  for (int i = 0; i < 3000;) {  // the recorder stands still, grants go on
    if (publish(*publisher))
      ++i;
    else
      bus.grant();
  }
  bus.settle();
  std::uint64_t count = 0;
  (*recorded)->poll([&](const Event&) { ++count; }, 1'000'000);
  EXPECT_GT(missing, 0u);
  EXPECT_EQ(count + missing, 3010u);
  EXPECT_EQ(bus.recorder().counters().not_recorded, missing);
}

TEST_F(BusTest, RawEventsAreVerifiedBeforeTheyArePublished) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  const auto claim = publisher->claim(64);
  ASSERT_EQ(claim.status, PublishStatus::ok);
  std::fill(claim.payload.begin(), claim.payload.end(), std::byte{0xee});
  EXPECT_EQ(publisher->commit(64).status, PublishStatus::invalid);
  publisher->abort();
  EXPECT_EQ(publisher->next_sequence(), Sequence(1));
  EXPECT_EQ(publisher->claim(1 << 20).status, PublishStatus::too_large);
  const std::vector<std::byte> junk(200, std::byte{1});
  EXPECT_EQ(publisher->publish(junk).status, PublishStatus::invalid);
}

TEST_F(BusTest, ABatchIsSeenAtOnce) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  auto live = bus.subscribe(Level::live);
  Seen seen;
  publisher->begin_batch();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(publish(*publisher));
  EXPECT_EQ(seen.poll(**live), 0u);
  publisher->end_batch();
  EXPECT_EQ(seen.poll(**live), 5u);
}

TEST_F(BusTest, APublisherWhoseSequenceDoesNotFollowIsStoppedAndNobodyElse) {
  auto settings = options();
  settings.streams = 2;
  MemoryBus bus(settings, clock_);
  auto good = bus.publisher("good");
  auto bad = bus.publisher("bad");
  publish(bus, *good, 3);
  publish(bus, *bad, 3);
  bus.writer_of(*bad).skip_to(Sequence(99));
  publish(bus, *bad, 3);
  publish(bus, *good, 3);
  bus.settle();
  EXPECT_EQ(bus.recorder().counters().sequence_errors, 1u);
  EXPECT_EQ(bus.recorder().counters().events, 9u);
  EXPECT_TRUE(bus.recorder().stopped()[0].empty());
  EXPECT_NE(bus.recorder().stopped()[1].find("expected 4, found 99"), std::string::npos);
}

TEST_F(BusTest, AWatermarkSpeaksOfItsPublisherAloneAndNeverGoesBack) {
  MemoryBus bus(options(), clock_);
  auto first = bus.publisher("first");
  publish(bus, *first, 50);
  bus.settle();
  EXPECT_EQ(first->synced_sequence(), Sequence(50));
  bus.restart_core();
  first->idle();
  EXPECT_EQ(first->recorded_sequence(), Sequence(50));
  EXPECT_EQ(first->synced_sequence(), Sequence(50)) << "though it has not published since";
  first.reset();
  bus.publisher_died("first");
  auto second = bus.publisher("second");  // in the same stream
  EXPECT_EQ(second->synced_sequence(), Sequence(0));
  clock_.advance(std::chrono::seconds(1));
  bus.settle();
  EXPECT_EQ(second->synced_sequence(), Sequence(0));
}

TEST_F(BusTest, ABatchThatIsOpenWhenTheCoreIsReplacedStaysWhole) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  auto recorded = bus.subscribe(Level::recorded);
  publish(bus, *publisher, 3);
  publisher->begin_batch();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(publish(*publisher));
  bus.restart_core();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(publish(*publisher));
  bus.settle();
  Seen seen;
  EXPECT_EQ(seen.poll(**recorded), 3u) << "nothing of an open batch is seen";
  publisher->end_batch();
  bus.settle();
  EXPECT_EQ(seen.poll(**recorded), 4u);
  EXPECT_EQ(publisher->recorded_sequence(), Sequence(7));
  EXPECT_EQ(bus.recorder().counters().sequence_errors, 0u);
}

TEST_F(BusTest, APublisherWhoseNameAnotherHadWhileTheCoreWasAwayIsClosed) {
  MemoryBus bus(options(), clock_);
  const auto admit = [&](const char* name, std::uint8_t incarnation) {
    const std::size_t stream = bus.ask(name, Incarnation{{incarnation}}).value();
    for (;;) {
      auto attachment = bus.admitted(stream).value();
      if (attachment != nullptr) return attachment;
      bus.step();
    }
  };
  const auto link = std::make_shared<PublisherLink>();
  Publisher old({link, admit("maker", 1)}, bus.type(), clock_);
  ASSERT_TRUE(publish(old));
  bus.kill_core();
  ASSERT_TRUE(bus.start_core());
  ASSERT_TRUE(publish(old));  // it has not noticed
  {
    Publisher other({std::make_shared<PublisherLink>(), admit("maker", 2)}, bus.type(), clock_);
    EXPECT_EQ(other.next_sequence(), Sequence(2));
    ASSERT_TRUE(publish(other));
  }
  bus.release(0);
  bus.settle();
  link->replace(admit("maker", 1));
  EXPECT_EQ(old.publish<TradeEvent>([](TradeEvent&) {}).status, PublishStatus::closed);
}

TEST_F(BusTest, ANamesNextEpochWaitsForTheStreamItHadBefore) {
  auto settings = options();
  settings.streams = 2;
  MemoryBus bus(settings, clock_);
  auto other = bus.publisher("other");
  auto maker = bus.publisher("maker");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(publish(*maker));
  maker.reset();
  other.reset();
  bus.release(1);
  ASSERT_EQ(bus.ask("third", Incarnation{{3}}).value(), 1u) << "it gets the maker's";
  bus.release(0);
  const std::size_t stream = bus.ask("maker", Incarnation{{4}}).value();
  EXPECT_EQ(stream, 0u);
  EXPECT_EQ(bus.admitted(stream).value(), nullptr);
  while (bus.admitted(stream).value() == nullptr) bus.step();
  EXPECT_EQ(bus.recorder().state(), TopicRecorder::State::ok);
  EXPECT_EQ(bus.recorder().counters().events, 5u);
}

// A plain model against the machine: publishers, followers of all levels and starts, deaths of publishers and cores, in
// an order that a seed chooses.
TEST_F(BusTest, FollowersNeverMissOrRepeatAnythingWhateverHappens) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<int>(random() % n); };
    auto settings = options();
    settings.folder = folder_.at("log" + std::to_string(seed));
    settings.ring_bytes = 120 * 1024;
    settings.log.segment_size = 256 * 1024;
    MemoryBus bus(settings, clock_);
    auto publisher = bus.publisher("maker");
    std::vector<std::pair<std::unique_ptr<Subscriber>, Seen>> followers;
    std::uint64_t published = 0;
    for (int i = 0; i < 60; ++i) {
      switch (pick(8)) {
        case 0: {
          bus.settle();
          publisher.reset();
          bus.publisher_died("maker");
          publisher = bus.publisher("maker");
          break;
        }
        case 1:
          bus.restart_core();
          break;
        case 2: {
          if (followers.size() > 6) break;
          const Level level = pick(2) == 0 ? Level::recorded : Level::synced;
          Start start = StartLatest{};
          if (pick(2) == 0) start = StartEarliest{};
          auto made = bus.subscribe(level, start);
          ASSERT_TRUE(made) << made.error().message;
          followers.emplace_back(std::move(*made), Seen{});
          break;
        }
        case 3:
        case 4: {
          const int count = pick(700);
          publish(bus, *publisher, count);
          published += static_cast<std::uint64_t>(count);
          break;
        }
        case 5:
          bus.step();
          break;
        default:
          for (auto& [subscriber, seen] : followers) seen.poll(*subscriber, static_cast<std::size_t>(pick(900)));
      }
    }
    bus.settle();
    for (auto& [subscriber, seen] : followers) {
      while (seen.poll(*subscriber) > 0) {
      }
      ASSERT_FALSE(subscriber->follower()->error()) << seed << ": " << subscriber->follower()->error()->message;
      EXPECT_TRUE(seen.count == 0 || seen.last == Sequence(published)) << "seed " << seed;
    }
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace
