// Proves, over buses in memory, that a replay goes on into live without gap or duplicate, whoever dies, and how long
// live events of one topic wait for those of another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bus/testing/memory_bus.hpp"
#include "subscribers/historical/replay.hpp"
#include "subscribers/historical/testing/trade_log.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using namespace std::chrono_literals;
using millrace::testing::MemoryBus;
using millrace::testing::MemoryBusOptions;
using schemas::TradeEvent;
using ::testing::ElementsAre;
using testing::Handed;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::offsets;
using testing::run;
using testing::take;

// One topic, and who publishes to it.
class Topic {
 public:
  Topic(wal::FaultFileSystem& disk, ManualClock& clock, const std::string& folder) : disk_(&disk), folder_(folder) {
    MemoryBusOptions options;
    options.folder = folder;
    options.ring_bytes = 80 * 1024;
    options.log.segment_size = 1 << 20;
    options.files = &disk;
    bus_.emplace(options, clock);
    publisher_ = bus_->publisher("maker");
  }
  // The order of event N is N + 1.
  void publish(int count, std::string_view instrument = "MILL") {
    for (int done = 0; done < count;) {
      const std::uint64_t number = publisher_->next_sequence().value();
      const bool published = static_cast<bool>(publisher_->publish<TradeEvent>([&](TradeEvent& trade) {
        trade.mutate_buy_order_id(number);
        schemas::set_text(trade.mutable_instrument(), instrument);
      }));
      if (published) {
        ++done;
      } else {
        bus_->step();
      }
    }
    bus_->settle();
  }
  [[nodiscard]] TopicLog log() {
    TopicLog log = log_folder(folder_);
    log.files = disk_;
    log.subscribe = [this](const Start& start, Follower::OnGap on_gap) {
      return bus_->subscribe(Level::recorded, start, std::move(on_gap));
    };
    log.end = [this] { return Result<Offset>(Offset(bus_->marks().topic.recorded_end.load())); };
    return log;
  }
  // What the last subscription through a log was given.
  struct Held {
    std::shared_ptr<SubscriberAttachment> attachment;
    Follower::OnGap on_gap;
    [[nodiscard]] std::uint64_t progress() const { return attachment->page->state.progress.load(); }
  };
  [[nodiscard]] TopicLog log(Held& held) {
    TopicLog log = this->log();
    log.subscribe = [subscribe = log.subscribe, &held](const Start& start, Follower::OnGap on_gap) {
      held.on_gap = on_gap;
      auto subscriber = subscribe(start, std::move(on_gap));
      if (subscriber) held.attachment = (*subscriber)->follower()->attachment();
      return subscriber;
    };
    return log;
  }
  [[nodiscard]] MemoryBus& bus() { return *bus_; }

 private:
  wal::FaultFileSystem* disk_;
  std::string folder_;
  std::optional<MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
};

class FollowTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<Replay> open(std::vector<ReplayTopic> topics, ReplayOptions options = {}) {
    options.clock = &clock_;
    if (!options.on_notice) options.on_notice = [this](const Notice& notice) { told_.push_back(notice); };
    auto replay = Replay::open(std::move(topics), std::move(options));
    EXPECT_TRUE(replay) << replay.error().message;
    return replay ? std::move(*replay) : nullptr;
  }

  wal::FaultFileSystem disk_;
  ManualClock clock_;
  std::vector<Notice> told_;
};

TEST_F(FollowTest, FromTheLogIntoLiveWithTheSameHandler) {
  Topic topic(disk_, clock_, "/a");
  topic.publish(3'000);
  const auto replay = open({{.log = topic.log(), .from = Offset(7), .to = ToNever{}}});
  std::uint64_t next = 7;
  const auto check = [&](const Event& event, std::size_t) {
    ASSERT_EQ(event.offset, Offset(next));
    ASSERT_EQ(flatbuffers::GetRoot<TradeEvent>(event.payload().data())->buy_order_id(), next + 1);
    ++next;
  };
  for (int round = 0; round < 20; ++round) {
    while (replay->poll(check, 100) > 0) {
    }
    ASSERT_EQ(next, 3'000u + static_cast<std::uint64_t>(round) * 50);
    ASSERT_FALSE(replay->ended());
    topic.publish(50);
  }
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(FollowTest, AcrossTheCoresDeath) {
  Topic topic(disk_, clock_, "/a");
  topic.publish(100);
  const auto replay = open({{.log = topic.log(), .to = ToNever{}}});
  std::vector<std::uint64_t> seen;
  for (int round = 0; round < 5; ++round) {
    for (const auto offset : offsets(take(*replay))) seen.push_back(offset);
    topic.publish(30);
    topic.bus().restart_core();
    topic.publish(30);
  }
  for (const auto offset : offsets(take(*replay))) seen.push_back(offset);
  EXPECT_EQ(seen, run(0, 400));
}

TEST_F(FollowTest, ABusWithAnEndIsReadUpToWhatIsThere) {
  Topic topic(disk_, clock_, "/a");
  topic.publish(50);
  Topic::Held held;
  const auto replay = open({{.log = topic.log(held)}});
  topic.publish(50);
  EXPECT_EQ(offsets(take(*replay)), run(0, 50));
  EXPECT_EQ(held.attachment, nullptr) << "nobody subscribes for it";
  EXPECT_TRUE(replay->ended());
}

TEST_F(FollowTest, ASlowFollowerIsHealedFromTheLog) {
  Topic topic(disk_, clock_, "/a");
  const auto replay = open({{.log = topic.log(), .to = ToNever{}}});
  topic.publish(10);
  EXPECT_EQ(offsets(take(*replay, 5)), run(0, 5));
  topic.publish(5'000);
  EXPECT_EQ(offsets(take(*replay)), run(5, 5'010));
}

TEST_F(FollowTest, FiltersAndSeeksWorkLive) {
  Topic topic(disk_, clock_, "/a");
  topic.publish(10, "RACE");
  const auto replay = open({{.log = topic.log(), .to = ToNever{}, .filters = {"instrument=MILL"}}});
  EXPECT_THAT(take(*replay), IsEmpty());
  topic.publish(2);
  topic.publish(2, "RACE");
  topic.publish(1);
  EXPECT_THAT(offsets(take(*replay)), ElementsAre(10, 11, 14));
  ASSERT_TRUE(replay->seek(Offset(11)));
  EXPECT_THAT(offsets(take(*replay)), ElementsAre(11, 14));
  EXPECT_FALSE(replay->seek(Offset(99)));
  topic.publish(1);
  EXPECT_THAT(offsets(take(*replay)), ElementsAre(15));
}

TEST_F(FollowTest, AnEventWaitsForTheOtherTopicNoLongerThanTheDelay) {
  testing::TradeLog a(disk_, "/a"), b(disk_, "/b");
  const auto replay = open({{.log = a.log(), .to = ToNever{}}, {.log = b.log(), .to = ToNever{}}});
  EXPECT_THAT(take(*replay), IsEmpty());
  EXPECT_FALSE(replay->due());
  clock_.advance(1s);
  a.add(clock_.wall(), {"A", "A"});
  EXPECT_THAT(take(*replay), IsEmpty()) << "b may still bring an earlier one";
  EXPECT_EQ(replay->due(), clock_.monotonic() + 5ms);
  clock_.advance(5ms - 1ns);
  EXPECT_THAT(take(*replay), IsEmpty());
  clock_.advance(1ns);
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 0}, {0, 1}}));

  // A later one of the other topic settles it at once.
  clock_.advance(1s);
  a.add(clock_.wall(), {"A"});
  clock_.advance(1ms);
  b.add(clock_.wall(), {"B"});
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 2}}));
  clock_.advance(4ms);
  EXPECT_THAT(take(*replay), IsEmpty());
  clock_.advance(1ms);
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{1, 0}}));
  EXPECT_EQ(replay->counts().late, 0u);
}

TEST_F(FollowTest, WithinTheDelayTopicsAreInOrderBeyondItTheyAreLateAndCounted) {
  Topic a(disk_, clock_, "/a"), b(disk_, clock_, "/b");
  const auto replay = open({{.log = a.log(), .to = ToNever{}}, {.log = b.log(), .to = ToNever{}}});
  a.publish(1);
  clock_.advance(1ms);
  b.publish(1);
  clock_.advance(1ms);
  a.publish(1);
  clock_.advance(5ms);
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 0}, {1, 0}, {0, 1}}));
  EXPECT_EQ(replay->counts().late, 0u);

  // A log that shows what it recorded long after: written beside the bus, with an old time.
  testing::TradeLog slow(disk_, "/slow");
  const WallTime early = clock_.wall();
  const auto mixed =
      open({{.log = a.log(), .from = StartLatest{}, .to = ToNever{}}, {.log = slow.log(), .to = ToNever{}}});
  clock_.advance(10ms);
  a.publish(1);
  clock_.advance(10ms);
  EXPECT_EQ(take(*mixed), (std::vector<Handed>{{0, 2}}));
  slow.add(early, {"X", "Y"});
  EXPECT_EQ(take(*mixed), (std::vector<Handed>{{1, 0}, {1, 1}}));
  EXPECT_EQ(mixed->counts().late, 2u);
}

// Its clock was set back, or the log comes from a host whose clock is ahead.
TEST_F(FollowTest, ALogFromTheFutureWaitsNoLongerThanTheDelayEither) {
  testing::TradeLog future(disk_, "/future"), quiet(disk_, "/quiet");
  const auto replay = open({{.log = future.log(), .to = ToNever{}}, {.log = quiet.log(), .to = ToNever{}}});
  const auto ahead = [&] { return clock_.wall() + 24h; };
  future.add(ahead(), {"A"});
  EXPECT_THAT(take(*replay), IsEmpty());
  clock_.advance(5ms);
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 0}}));
  // What is known now does not have to be learnt again.
  for (int i = 0; i < 100; ++i) {
    future.add(ahead(), {"A"});
    clock_.advance(1ms);
  }
  EXPECT_GE(take(*replay).size(), 94u);
}

TEST_F(FollowTest, ATopicThatHasEndedHoldsNobodyBack) {
  Topic a(disk_, clock_, "/a"), b(disk_, clock_, "/b");
  b.publish(1);
  const auto replay = open({{.log = a.log(), .to = ToNever{}}, {.log = b.log()}});
  EXPECT_THAT(take(*replay), IsEmpty()) << "a may still bring an earlier one";
  clock_.advance(5ms);
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{1, 0}}));
  a.publish(1);
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 0}}));
}

TEST_F(FollowTest, AtASpeedItFollowsAtThatDistance) {
  testing::TradeLog log(disk_, "/a");
  log.add(clock_.wall(), {"A"});
  clock_.advance(10s);
  log.add(clock_.wall(), {"A"});
  const auto replay = open({{.log = log.log(), .to = ToNever{}}}, {.speed = as_recorded});
  EXPECT_EQ(offsets(take(*replay)), run(0, 1));
  clock_.advance(4s);
  log.add(clock_.wall(), {"A"});
  clock_.advance(6s);
  EXPECT_EQ(offsets(take(*replay)), run(1, 2));
  EXPECT_EQ(replay->due(), clock_.monotonic() + 4s);
  clock_.advance(4s);
  EXPECT_EQ(offsets(take(*replay)), run(2, 3));
}

// Its events are not due: the core is to see that it polls all the same.
TEST_F(FollowTest, APausedOrPacedReplayIsSeenToLive) {
  Topic topic(disk_, clock_, "/a");
  topic.publish(1);
  clock_.advance(10s);
  topic.publish(1);
  for (const bool paused : {true, false}) {
    Topic::Held held;
    const auto replay = open({{.log = topic.log(held), .to = ToNever{}}}, {.speed = as_recorded, .paused = paused});
    ASSERT_EQ(take(*replay).size(), paused ? 0u : 1u);
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t before = held.progress();
      EXPECT_THAT(take(*replay), IsEmpty());
      EXPECT_GT(held.progress(), before);
    }
  }
}

TEST_F(FollowTest, AReplayThatARollBackStoppedGoesOnWhereItIsSent) {
  Topic topic(disk_, clock_, "/a");
  topic.publish(5);
  Topic::Held held;
  const auto replay = open({{.log = topic.log(held), .to = ToNever{}}}, {.on_loss = OnLoss::stop});
  ASSERT_EQ(offsets(take(*replay)), run(0, 5));
  held.on_gap({Gap::Reason::rolled_back, {}, {}, {}, Offset(3)});  // as its follower would
  EXPECT_THAT(take(*replay), IsEmpty());
  ASSERT_TRUE(replay->error());
  EXPECT_EQ(replay->error()->code, ErrorCode::rolled_back);
  ASSERT_TRUE(replay->seek(Offset(3)));
  EXPECT_EQ(offsets(take(*replay)), run(3, 5));
  EXPECT_FALSE(replay->error());
}

TEST_F(FollowTest, ATimeAtWhichTheLogIsCorruptIsSoughtAllTheSame) {
  Topic topic(disk_, clock_, "/a");
  const WallTime begin = clock_.wall();
  for (int i = 0; i < 100; ++i, clock_.advance(1s)) topic.publish(10);
  disk_.bytes_of(wal::testing::segment_paths(disk_, "/a").at(0))->at(100'000) ^= std::byte{1};
  const auto replay = open({{.log = topic.log(), .to = ToNever{}}});
  ASSERT_FALSE(take(*replay).empty());
  ASSERT_EQ(told_.size(), 1u);
  const Notice lost = told_[0];
  ASSERT_EQ(lost.kind, Notice::Kind::corrupt);
  ASSERT_EQ(lost.from.value() % 10, 0u) << "a second's first batch is lost";
  const WallTime time = begin + std::chrono::seconds(lost.from.value() / 10);
  ASSERT_TRUE(replay->seek(time));
  EXPECT_EQ(offsets(take(*replay)), run(lost.to.value(), 1'000));
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].from, lost.from);
  EXPECT_EQ(told_[1].to, lost.to);
  // Whoever follows without a replay meets it.
  const auto subscriber = topic.bus().subscribe(Level::recorded, time);
  ASSERT_TRUE(subscriber) << subscriber.error().message;
  EXPECT_EQ((*subscriber)->follower()->position().offset, lost.from);
  EXPECT_EQ((*subscriber)->poll([](const Event&) {}), 0u);
  ASSERT_TRUE((*subscriber)->error());
  EXPECT_EQ((*subscriber)->error()->code, ErrorCode::corrupt);
}

TEST_F(FollowTest, CorruptionInTheLogIsToldAndFollowedBehind) {
  Topic topic(disk_, clock_, "/a");
  for (int i = 0; i < 60; ++i) topic.publish(100);
  auto& bytes = *disk_.bytes_of(wal::testing::segment_paths(disk_, "/a").at(0));
  bytes.at(100'000) ^= std::byte{1};
  for (const bool listens : {true, false}) {
    const auto replay =
        open({{.log = topic.log(), .to = ToNever{}}}, {.on_loss = listens ? OnLoss::go_on : OnLoss::stop});
    const auto seen = offsets(take(*replay));
    if (!listens) {
      EXPECT_EQ(seen, run(0, told_[0].from.value()));
      ASSERT_TRUE(replay->error());
      EXPECT_EQ(replay->error()->code, ErrorCode::corrupt);
      continue;
    }
    ASSERT_EQ(told_.size(), 1u);
    EXPECT_EQ(told_[0].kind, Notice::Kind::corrupt);
    ASSERT_LT(told_[0].from, told_[0].to);
    auto wanted = run(0, told_[0].from.value());
    for (const auto offset : run(told_[0].to.value(), 6'000)) wanted.push_back(offset);
    EXPECT_EQ(seen, wanted);
    EXPECT_LT(told_[0].to - told_[0].from, 400u);
  }
}

}  // namespace
}  // namespace millrace::historical
