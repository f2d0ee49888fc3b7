// Proves what an acknowledgement says, and what becomes of events whose disk fails: over a bus in memory on a disk that
// may lose, refuse and forget.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

class AcksTest : public ::testing::Test {
 protected:
  MemoryBusOptions options() {
    MemoryBusOptions options;
    options.folder = "/log";
    options.page_size = 64 * 1024;
    options.log.segment_size = 1 << 20;
    options.files = &disk_;
    return options;
  }

  static bool publish(Publisher& publisher) {
    const std::uint64_t number = publisher.next_sequence().value();
    return static_cast<bool>(
        publisher.publish<TradeEvent>([number](TradeEvent& trade) { trade.mutate_buy_order_id(number); }));
  }
  static void publish(Publisher& publisher, int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(publish(publisher));
  }
  void record(MemoryBus& bus) {
    while (bus.recorder().do_work(clock_.wall()) > 0) {
    }
  }
  // The offsets and numbers of all that the subscriber has now.
  static std::vector<std::pair<Offset, Sequence>> read(Subscriber& subscriber) {
    std::vector<std::pair<Offset, Sequence>> events;
    while (subscriber.poll<TradeEvent>([&](const TradeEvent& trade, const Event& event) {
      EXPECT_EQ(trade.buy_order_id(), event.sequence().value());
      events.emplace_back(event.offset.value_or(Offset()), event.sequence());
    }) > 0) {
    }
    return events;
  }
  static AckStatus look(Publisher& publisher, std::uint64_t sequence, const Ack& ack) {
    const Acknowledgement known = publisher.await(Sequence(sequence), ack, {0ns, 1});
    EXPECT_EQ(known.position, publisher.position_of(Sequence(sequence)));
    return known.status;
  }

  wal::FaultFileSystem disk_;
  ManualClock clock_;
};

TEST_F(AcksTest, AnAcknowledgementSaysHowFarAnEventIs) {
  auto settings = options();
  settings.log.linger = 1h;
  MemoryBus bus(settings, clock_);
  const auto publisher = bus.publisher("maker");
  publish(*publisher, 3);
  EXPECT_EQ(look(*publisher, 3, Ack::recorded()), AckStatus::timed_out);
  EXPECT_EQ(publisher->outcome(publisher->position_of(Sequence(3)))->fate, Fate::pending);
  bus.recorder().do_work(clock_.wall());
  EXPECT_EQ(look(*publisher, 3, Ack::recorded()), AckStatus::acknowledged);
  EXPECT_EQ(publisher->acknowledged(Sequence(3), Ack::synced()), AckStatus::timed_out);
  const auto recorded = publisher->outcome(publisher->position_of(Sequence(2)));
  ASSERT_TRUE(recorded);
  EXPECT_EQ(recorded->fate, Fate::recorded);
  EXPECT_EQ(recorded->offset, Offset(1));
  EXPECT_EQ(look(*publisher, 4, Ack::recorded()), AckStatus::timed_out);
  // Nobody has waited: the linger of an hour has a while to go. Somebody waits: it is synced at once.
  bus.step();
  EXPECT_EQ(publisher->acknowledged(Sequence(3), Ack::synced()), AckStatus::timed_out);
  EXPECT_EQ(look(*publisher, 3, Ack::synced()), AckStatus::timed_out);
  bus.step();
  EXPECT_EQ(publisher->acknowledged(Sequence(3), Ack::synced()), AckStatus::acknowledged);
  EXPECT_EQ(publisher->outcome(publisher->position_of(Sequence(3)))->fate, Fate::synced);
  EXPECT_EQ(look(*publisher, 3, Ack::consumed("nobody")), AckStatus::no_consumer);
}

TEST_F(AcksTest, AStreamsNextPublisherIsNotTakenForTheOneBefore) {
  MemoryBus bus(options(), clock_);
  auto first = bus.publisher("first");
  publish(*first, 100);
  bus.settle();
  EXPECT_EQ(look(*first, 100, Ack::synced()), AckStatus::acknowledged);
  first.reset();
  bus.publisher_died("first");
  const auto second = bus.publisher("second");
  publish(*second, 1);
  EXPECT_EQ(look(*second, 1, Ack::synced()), AckStatus::timed_out);
  EXPECT_EQ(look(*second, 1, Ack::recorded()), AckStatus::timed_out);
  bus.settle();
  EXPECT_EQ(look(*second, 1, Ack::synced()), AckStatus::acknowledged);
}

TEST_F(AcksTest, ADiskThatFailsAcknowledgesNothingUntilTheTopicIsReopenedAndNothingIsLost) {
  for (const bool sync_fails : {false, true}) {
    disk_ = {};
    MemoryBus bus(options(), clock_);
    const auto publisher = bus.publisher("maker");
    const auto recorded = bus.subscribe(Level::recorded).value();
    const auto synced = bus.subscribe(Level::synced).value();
    publish(*publisher, 10);
    bus.settle();
    publish(*publisher, 10);
    if (sync_fails) bus.recorder().do_work(clock_.wall());
    const std::uint64_t seen_before = read(*recorded).size();
    EXPECT_EQ(seen_before, sync_fails ? 20u : 10u);
    disk_.fail_at(0, ErrorCode::io_failed, true);
    for (int i = 0; i < 50; ++i) {
      clock_.advance(1ms);
      bus.step();
    }
    ASSERT_EQ(bus.recorder().state(), TopicRecorder::State::failed);
    EXPECT_EQ(look(*publisher, 10, Ack::synced()), AckStatus::acknowledged);
    EXPECT_EQ(look(*publisher, 20, Ack::synced()), AckStatus::failed);
    publish(*publisher, 10);  // its pages are not full yet
    EXPECT_EQ(look(*publisher, 30, Ack::recorded()), AckStatus::failed);
    EXPECT_FALSE(bus.recorder().reopen(clock_.wall())) << "the disk still fails";
    EXPECT_EQ(bus.recorder().state(), TopicRecorder::State::failed);
    disk_.heal();
    ASSERT_TRUE(bus.recorder().reopen(clock_.wall()));
    bus.settle();
    EXPECT_EQ(look(*publisher, 30, Ack::synced()), AckStatus::acknowledged);
    EXPECT_EQ(read(*recorded).size(), 30 - seen_before) << "nothing is shown twice";
    EXPECT_EQ(read(*synced).size(), 30u);
    disk_.crash(1);  // what the failed sync lost is really there
    auto log = wal::Reader::open(disk_, "/log");
    ASSERT_TRUE(log);
    EXPECT_EQ(log->end_offset().value(), Offset(30));
    for (std::uint64_t i = 1; i <= 30; ++i) {
      const auto outcome = publisher->outcome(publisher->position_of(Sequence(i)));
      ASSERT_TRUE(outcome);
      EXPECT_EQ(outcome->offset, Offset(i - 1)) << "every event keeps its offset";
    }
  }
}

TEST_F(AcksTest, UnderLiveOnlyWhatIsGoneWhenTheTopicIsReopenedIsDeclaredAndFollowersAreToldWhatIsVoid) {
  auto settings = options();
  settings.policy = ring::StallPolicy::live_only;
  settings.page_size = 4096;
  settings.ring_bytes = 16 * 4096;
  settings.log.linger = 1h;
  MemoryBus bus(settings, clock_);
  const auto publisher = bus.publisher("maker");
  std::optional<Offset> void_from;
  std::vector<Gap> retracted;
  const auto recorded = bus.subscribe(Level::recorded, StartLatest{}, [&](const Gap& gap) {
    if (gap.reason == Gap::Reason::rolled_back) void_from = gap.void_from;
  });
  const auto live = bus.subscribe(Level::live, StartLatest{}, [&](const Gap& gap) {
    if (gap.reason == Gap::Reason::retracted) retracted.push_back(gap);
  });
  publish(*publisher, 10);
  bus.step();
  (void)look(*publisher, 10, Ack::synced());
  bus.step();
  publish(*publisher, 10);
  record(bus);
  EXPECT_EQ(read(**recorded).size(), 20u);
  const auto token = (*recorded)->follower()->position();
  disk_.fail_at(0, ErrorCode::io_failed, true);
  (void)look(*publisher, 20, Ack::synced());
  bus.step();
  ASSERT_EQ(bus.recorder().state(), TopicRecorder::State::failed);
  (void)read(**live);
  int published = 20;
  for (; published < 600; ++published) {  // several times round the ring
    while (!publish(*publisher)) bus.grant();
    (void)read(**live);
  }
  disk_.heal();
  ASSERT_TRUE(bus.recorder().reopen(clock_.wall()));
  record(bus);
  (void)look(*publisher, 600, Ack::synced());
  bus.step();
  const auto after = read(**recorded);
  ASSERT_TRUE(void_from);
  EXPECT_EQ(*void_from, Offset(10));
  ASSERT_FALSE(after.empty());
  EXPECT_EQ(after.front().first, Offset(10));
  EXPECT_EQ(after.back().second, Sequence(600));
  EXPECT_EQ(look(*publisher, 600, Ack::synced()), AckStatus::acknowledged);
  EXPECT_EQ(look(*publisher, 10, Ack::synced()), AckStatus::acknowledged);
  const Sequence lost(after.front().second.value() - 1);
  EXPECT_EQ(look(*publisher, 11, Ack::synced()), AckStatus::not_recorded);
  EXPECT_EQ(look(*publisher, lost.value(), Ack::recorded()), AckStatus::not_recorded);
  EXPECT_EQ(publisher->outcome(publisher->position_of(lost))->fate, Fate::not_recorded);
  (void)read(**live);
  ASSERT_EQ(retracted.size(), 1u);
  EXPECT_EQ(retracted[0].from, Sequence(11));
  EXPECT_EQ(retracted[0].to, lost);
  const auto resumed = bus.subscribe(Level::recorded, token);
  ASSERT_FALSE(resumed) << "a token past the end of its run names other events now";
  EXPECT_EQ(resumed.error().code, ErrorCode::rolled_back);
  bus.restart_core();
  publisher->idle();
  EXPECT_EQ(look(*publisher, lost.value(), Ack::synced()), AckStatus::not_recorded) << "the log knows";
}

// Without syncing, pages go once they are recorded.
TEST_F(AcksTest, WithoutSyncingWhatIsGoneWhenTheTopicIsReopenedIsDeclaredAndItsPublisherGoesOn) {
  auto settings = options();
  settings.page_size = 4096;
  settings.ring_bytes = 16 * 4096;
  settings.log.policy = wal::SyncPolicy::none;
  MemoryBus bus(settings, clock_);
  const auto publisher = bus.publisher("maker");
  for (int published = 0; published < 600; ++published) {  // several times round the ring
    while (!publish(*publisher)) {
      record(bus);
      bus.grant();
    }
  }
  record(bus);
  EXPECT_EQ(look(*publisher, 600, Ack::recorded()), AckStatus::acknowledged);
  disk_.fail_at(0, ErrorCode::io_failed);
  publish(*publisher, 1);
  record(bus);
  ASSERT_EQ(bus.recorder().state(), TopicRecorder::State::failed);
  ASSERT_TRUE(bus.recorder().reopen(clock_.wall()));
  record(bus);
  EXPECT_EQ(bus.recorder().stopped()[0], "");
  EXPECT_EQ(look(*publisher, 601, Ack::recorded()), AckStatus::acknowledged);
  EXPECT_EQ(look(*publisher, 1, Ack::recorded()), AckStatus::not_recorded);
  const std::uint64_t lost = bus.recorder().counters().not_recorded;
  EXPECT_GT(lost, 300u);
  EXPECT_EQ(look(*publisher, lost, Ack::recorded()), AckStatus::not_recorded);
  EXPECT_EQ(look(*publisher, lost + 1, Ack::recorded()), AckStatus::acknowledged);
  EXPECT_EQ(bus.recorder().log().next_offset(), Offset(601 - lost));
}

TEST_F(AcksTest, ASyncFromBeforeAReopeningAcknowledgesNothing) {
  MemoryBus bus(options(), clock_);
  const auto publisher = bus.publisher("maker");
  publish(*publisher, 10);
  record(bus);
  const auto before = bus.recorder().take_sync(clock_.monotonic(), TopicRecorder::Sync::now);
  ASSERT_TRUE(before);
  disk_.fail_at(0, ErrorCode::io_failed);
  publish(*publisher, 10);
  record(bus);
  ASSERT_EQ(bus.recorder().state(), TopicRecorder::State::failed);
  ASSERT_TRUE(bus.recorder().reopen(clock_.wall()));
  record(bus);
  const auto after = bus.recorder().take_sync(clock_.monotonic(), TopicRecorder::Sync::now);
  ASSERT_TRUE(after);
  bus.recorder().complete_sync(*before, before->run());
  EXPECT_EQ(publisher->synced_sequence(), Sequence());
  EXPECT_FALSE(bus.recorder().take_sync(clock_.monotonic(), TopicRecorder::Sync::now)) << "one is under way";
  bus.recorder().complete_sync(*after, after->run());
  EXPECT_EQ(publisher->synced_sequence(), Sequence(20));
}

TEST_F(AcksTest, WhatAStoppedPublisherShowedIsTakenBack) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  std::vector<Gap> retracted;
  const auto live = bus.subscribe(Level::live, StartLatest{}, [&](const Gap& gap) {
    if (gap.reason == Gap::Reason::retracted) retracted.push_back(gap);
  });
  publish(*publisher, 5);
  bus.settle();
  bus.writer_of(*publisher).skip_to(Sequence(8));
  publish(*publisher, 2);
  EXPECT_EQ(read(**live).size(), 7u);
  bus.settle();
  (void)read(**live);
  ASSERT_EQ(retracted.size(), 1u);
  EXPECT_EQ(retracted[0].from, Sequence(6));
  EXPECT_EQ(retracted[0].to, Sequence(9));
  EXPECT_EQ(look(*publisher, 8, Ack::recorded()), AckStatus::not_recorded);
  // The name's next owner goes on behind what is recorded; its sequences name new events.
  publisher.reset();
  bus.publisher_died("maker");
  publisher = bus.publisher("maker");
  EXPECT_EQ(publisher->next_sequence(), Sequence(6));
  publish(*publisher, 3);
  EXPECT_EQ(read(**live).size(), 3u);
  EXPECT_EQ(retracted.size(), 1u) << "told once";
  bus.settle();
  EXPECT_EQ(look(*publisher, 8, Ack::synced()), AckStatus::acknowledged);
}

TEST_F(AcksTest, APublisherThatIsStartedAnewLearnsWhatTheLogHasOfIt) {
  MemoryBus bus(options(), clock_);
  auto publisher = bus.publisher("maker");
  EXPECT_FALSE(publisher->last_recorded().value());
  publish(*publisher, 4);
  ASSERT_TRUE(
      publisher->publish<TradeEvent>([](TradeEvent& trade) { trade.mutate_buy_order_id(5); }, Cause(Offset(77), 3)));
  const PublishPosition last = publisher->position_of(Sequence(5));
  const PublishPosition beyond = publisher->position_of(Sequence(6));
  bus.settle();
  publisher.reset();
  bus.publisher_died("maker");
  publisher = bus.publisher("maker");
  EXPECT_EQ(publisher->next_sequence(), Sequence(6));
  const auto found = publisher->last_recorded();
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->sequence, Sequence(5));
  EXPECT_EQ((*found)->offset, Offset(4));
  EXPECT_EQ((*found)->cause, Cause(Offset(77), 3));
  EXPECT_EQ(flatbuffers::GetRoot<TradeEvent>((*found)->payload.data())->buy_order_id(), 5u);
  EXPECT_EQ(publisher->outcome(last)->fate, Fate::synced);
  EXPECT_EQ(publisher->outcome(beyond)->fate, Fate::lost) << "its incarnation is gone, and the log has not got it";
  publish(*publisher, 1);
  bus.settle();
  EXPECT_EQ(publisher->outcome(beyond)->fate, Fate::lost) << "the sequence names another event now";
}

TEST_F(AcksTest, WhoAwaitsSleepsUntilTheRecorderHasCome) {
  MemoryBus bus(options(), clock_);
  const auto publisher = bus.publisher("maker");
  const auto synced = bus.subscribe(Level::synced).value();
  std::atomic<bool> stopping{false};
  std::thread core([&] {
    while (!stopping) {
      bus.step();
      std::this_thread::yield();
    }
  });
  for (std::uint64_t i = 1; i <= 200; ++i) {
    ASSERT_TRUE(publish(*publisher));
    const Acknowledgement ack = publisher->await(Sequence(i), i % 2 == 0 ? Ack::synced() : Ack::recorded(), {1h, 1});
    EXPECT_EQ(ack.status, AckStatus::acknowledged);
    if (i % 2 != 0) continue;
    ASSERT_TRUE(synced->wait(1h));
    EXPECT_EQ(read(*synced).back().second, Sequence(i));
  }
  stopping = true;
  core.join();
}

}  // namespace
}  // namespace millrace
