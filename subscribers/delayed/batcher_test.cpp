// Proves where batches are cut and what lies in them; that what is void is in none; and, with consumers and cores dying
// at random, that all which was not acknowledged comes again, cut as before or later, without a hole.
#include "subscribers/delayed/batcher.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::delayed {
namespace {

using namespace std::chrono_literals;
using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() {
    options_.folder = "/log";
    options_.log.segment_size = 1 << 20;
    options_.files = &disk_;
  }
  void start() {
    bus_.emplace(options_, clock_);
    publisher_ = bus_->publisher("maker");
  }
  bool publish() {
    const std::uint64_t number = publisher_->next_sequence().value();
    return static_cast<bool>(
        publisher_->publish<TradeEvent>([number](TradeEvent& trade) { trade.mutate_buy_order_id(number); }));
  }
  // Bytes of a hostile process.
  void publish_no_event() {
    const auto claim = publisher_->claim(64);
    ASSERT_TRUE(claim.status == PublishStatus::ok);
    std::fill(claim.payload.begin(), claim.payload.end(), std::byte{0xff});
    bus_->writer_of(*publisher_).commit({bus_->type().id(), {}, 0, clock_.wall(), 0}, 64);
  }
  void publish(int count) {
    for (int i = 0; i < count;) {
      publish() ? void(++i) : bus_->step();
    }
    bus_->settle();
  }
  [[nodiscard]] std::unique_ptr<Batcher> batcher(BatchLimits limits, Level level = Level::synced,
                                                 const Start& start = StartEarliest{}) {
    return std::make_unique<Batcher>(std::move(**bus_->subscribe(level, start)), "trade_events", limits);
  }
  [[nodiscard]] MonotonicTime now() const { return clock_.monotonic(); }
  static std::uint64_t number(const Event& event) {
    return flatbuffers::GetRoot<TradeEvent>(event.payload().data())->buy_order_id();
  }
  // What every batch holds to, given the publisher's numbers from 1 in log order, none of them left out.
  static void expect_whole(const Batch& batch) {
    ASSERT_FALSE(batch.events.empty());
    EXPECT_EQ(batch.end - batch.first, batch.events.size());
    for (std::size_t i = 0; i < batch.events.size(); ++i) {
      const Event& event = batch.events[i];
      ASSERT_EQ(event.offset, batch.first + i);
      ASSERT_EQ(number(event), event.sequence().value());
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(event.payload().data()) % 8, 0u);
    }
    EXPECT_EQ(batch.newest, batch.events.back().record_time);
  }

  wal::FaultFileSystem disk_;
  ManualClock clock_;
  MemoryBusOptions options_;
  std::optional<MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(BatcherTest, ABatchIsClosedByCountByBytesOrByAgeWhicheverComesFirst) {
  start();
  publish(10);
  const std::size_t event_size = batcher({.events = 1})->poll(now())->events[0].frame.size();

  auto counted = batcher({.age = 1s, .events = 4});
  for (std::uint64_t first : {0, 4}) {
    const Batch* const batch = counted->poll(now());
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->why, Closed::count);
    EXPECT_EQ(batch->topic, "trade_events");
    EXPECT_EQ(batch->first, Offset(first));
    EXPECT_EQ(batch->end, Offset(first + 4));
    expect_whole(*batch);
    counted->next();
  }
  EXPECT_FALSE(counted->due());
  EXPECT_EQ(counted->poll(now()), nullptr);
  ASSERT_TRUE(counted->due());
  EXPECT_EQ(*counted->due(), now() + 1s);
  clock_.advance(1s - 1ns);
  EXPECT_EQ(counted->poll(now()), nullptr);
  clock_.advance(1ns);
  const Batch* const aged = counted->poll(now());
  ASSERT_NE(aged, nullptr);
  EXPECT_EQ(aged->why, Closed::age);
  EXPECT_EQ(aged->end, Offset(10));
  expect_whole(*aged);

  auto measured = batcher({.age = 1s, .bytes = 3 * event_size + 1});
  for (std::uint64_t first : {0, 3, 6}) {
    const Batch* const batch = measured->poll(now());
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->why, Closed::bytes);
    EXPECT_EQ(batch->first, Offset(first));
    EXPECT_EQ(batch->events.size(), 3u);
    expect_whole(*batch);
    measured->next();
  }
  EXPECT_EQ(measured->poll(now()), nullptr) << "one is left";
  const Batch* const rest = measured->flush(now());
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(rest->why, Closed::end);
  EXPECT_EQ(rest->first, Offset(9));
  expect_whole(*rest);
  measured->next();
  EXPECT_EQ(measured->flush(now()), nullptr);
}

TEST_F(BatcherTest, TheAgeOfABatchCountsFromItsFirstEvent) {
  start();
  auto batcher = this->batcher({.age = 100ms});
  clock_.advance(10s);
  EXPECT_EQ(batcher->poll(now()), nullptr);
  publish(1);
  EXPECT_EQ(batcher->poll(now()), nullptr) << "it is new, however long the batcher was idle";
  const MonotonicTime due = *batcher->due();
  clock_.advance(60ms);
  publish(1);
  EXPECT_EQ(batcher->poll(now()), nullptr);
  EXPECT_EQ(*batcher->due(), due);
  EXPECT_EQ(batcher->poll(due)->events.size(), 2u);
}

TEST_F(BatcherTest, AnEventLargerThanTheLimitHasABatchOfItsOwn) {
  start();
  publish(3);
  auto batcher = this->batcher({.bytes = 8});
  for (std::uint64_t first : {0, 1}) {
    const Batch* const batch = batcher->poll(now());
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->first, Offset(first));
    EXPECT_EQ(batch->end, Offset(first + 1));
    expect_whole(*batch);
    batcher->next();
  }
}

TEST_F(BatcherTest, ABatchStandsUntilItIsTakenWhateverBecomesOfThePages) {
  options_.ring_bytes = 16 * 4096;
  start();
  auto batcher = this->batcher({.events = 5});
  publish(5);
  const Batch* const batch = batcher->poll(now());
  ASSERT_NE(batch, nullptr);
  publish(2000);  // several times round the ring
  EXPECT_EQ(batcher->poll(now()), batch);
  EXPECT_TRUE(batcher->wait(1h)) << "there is something";
  expect_whole(*batch);
  EXPECT_EQ(batch->end, Offset(5));
  EXPECT_EQ(batcher->ack().error().code, ErrorCode::invalid_argument) << "no durable consumer";
  EXPECT_EQ(batcher->poll(now()), batch) << "it was not acknowledged";
  batcher->next();
  EXPECT_EQ(batcher->ack().error().code, ErrorCode::invalid_argument) << "no batch is at hand";
  for (std::uint64_t end = 10; end <= 2005; end += 5) {
    ASSERT_NE(batcher->poll(now()), nullptr);
    expect_whole(*batcher->poll(now()));
    EXPECT_EQ(batcher->poll(now())->end, Offset(end));
    batcher->next();
  }
}

TEST_F(BatcherTest, AnEventThatFailsItsVerifierIsLeftOutAndCounted) {
  start();
  publish(1);
  publish_no_event();
  publish(1);
  auto batcher = this->batcher({});
  EXPECT_EQ(batcher->poll(now()), nullptr);
  const Batch* const batch = batcher->flush(now());
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batcher->invalid(), 1u);
  EXPECT_EQ(batch->end, Offset(3)) << "what is left out is acknowledged with the rest";
  ASSERT_EQ(batch->events.size(), 2u);
  EXPECT_EQ(batch->events[1].offset, Offset(2));
}

TEST_F(BatcherTest, WhatIsLeftOutCountsTowardsTheSizeOfABatch) {
  start();
  publish(1);
  for (int i = 0; i < 10; ++i) publish_no_event();
  publish(1);
  auto batcher = this->batcher({.age = 1h, .events = 4});
  for (const std::size_t events : {1, 0, 1}) {
    const Batch* const batch = batcher->poll(now());
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->why, Closed::count);
    EXPECT_EQ(batch->end - batch->first, 4u);
    EXPECT_EQ(batch->events.size(), events);
    batcher->next();
  }
  EXPECT_EQ(batcher->invalid(), 10u);
}

// As in bus/acks_test.cpp: a live_only topic whose disk fails has lost, when it is reopened, what its pages have lost.
TEST_F(BatcherTest, WhatARollbackMakesVoidIsInNoLaterBatch) {
  options_.policy = ring::StallPolicy::live_only;
  options_.ring_bytes = 16 * 4096;
  options_.log.linger = 1h;
  start();
  auto batcher = this->batcher({.age = 1h, .events = 1000}, Level::recorded);
  auto eager = this->batcher({.age = 0ns}, Level::recorded);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(publish());
  bus_->step();
  (void)publisher_->await(Sequence(10), Ack::synced(), {0ns, 1});
  bus_->step();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(publish());
  while (bus_->recorder().do_work(clock_.wall()) > 0) {
  }
  EXPECT_EQ(batcher->poll(now()), nullptr);
  ASSERT_NE(eager->poll(now()), nullptr);
  EXPECT_EQ(eager->poll(now())->end, Offset(20));
  eager->next();
  disk_.fail_at(0, ErrorCode::io_failed, true);
  (void)publisher_->await(Sequence(20), Ack::synced(), {0ns, 1});
  bus_->step();
  ASSERT_EQ(bus_->recorder().state(), TopicRecorder::State::failed);
  for (int published = 20; published < 600; ++published) {
    while (!publish()) bus_->grant();
  }
  disk_.heal();
  ASSERT_TRUE(bus_->reopen());
  while (bus_->recorder().do_work(clock_.wall()) > 0) {
  }
  (void)publisher_->await(Sequence(600), Ack::synced(), {0ns, 1});
  bus_->settle();

  const Batch* batch = batcher->poll(now());
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->why, Closed::gap);
  EXPECT_EQ(batch->first, Offset(0));
  EXPECT_EQ(batch->end, Offset(10)) << "10 to 19 are void";
  EXPECT_TRUE(batch->gaps.empty());
  expect_whole(*batch);
  batcher->next();
  for (Batcher* const each : {batcher.get(), eager.get()}) {
    batch = each->flush(now());
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->first, Offset(10));
    expect_whole(*batch);
    EXPECT_GT(number(batch->events.front()), 20u);
    EXPECT_EQ(number(batch->events.back()), 600u);
    ASSERT_GE(batch->gaps.size(), 1u);
    EXPECT_EQ(batch->gaps[0].reason, Gap::Reason::rolled_back);
    EXPECT_EQ(batch->gaps[0].void_from, Offset(10));
    each->next();
  }
}

TEST_F(BatcherTest, WhatTheLogNeverHadClosesTheBatchBeforeIt) {
  options_.policy = ring::StallPolicy::live_only;
  options_.ring_bytes = 16 * 4096;
  start();
  publish(10);
  auto batcher = this->batcher({.age = 1h});
  EXPECT_EQ(batcher->poll(now()), nullptr);
  for (int published = 10; published < 600; ++published) {  // the recorder stands still
    while (!publish()) bus_->grant();
  }
  bus_->settle();
  const Batch* const before = batcher->poll(now());
  ASSERT_NE(before, nullptr);
  EXPECT_EQ(before->why, Closed::gap);
  EXPECT_GE(before->end, Offset(10)) << "with what the recorder still found in the page it stood in";
  const std::uint64_t last = number(before->events.back());
  batcher->next();
  const Batch* const behind = batcher->flush(now());
  ASSERT_NE(behind, nullptr);
  ASSERT_EQ(behind->gaps.size(), 1u);
  EXPECT_EQ(behind->gaps[0].reason, Gap::Reason::not_recorded);
  EXPECT_EQ(behind->gaps[0].from, Sequence(last + 1));
  EXPECT_EQ(behind->gaps[0].to.value() + 1, number(behind->events.front()));
}

// A consumer that may die, over a core that may die: a model of what was acknowledged beside it.
class CrashRun {
 public:
  CrashRun(std::uint32_t seed, const MemoryBusOptions& options, ManualClock& clock)
      : random_(seed), clock_(clock), bus_(options, clock), publisher_(bus_.publisher("maker")) {
    limits_ = {std::chrono::milliseconds(pick(0, 20)), pick(1, 60), pick(1, 40) * 184};
    begin();
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }
  // All that there is comes, and is acknowledged.
  void finish() {
    bus_.settle();
    while (const Batch* const batch = batcher_->flush(clock_.monotonic())) {
      look_at(*batch);
      take();
    }
    EXPECT_EQ(next_, Offset(published_));
  }
  [[nodiscard]] int again() const { return again_; }

 private:
  std::uint64_t pick(std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(random_);
  }

  void step() {
    switch (pick(0, 9)) {
      case 0:
      case 1:
      case 2:
        return publish(pick(1, 80));
      case 3:
        return clock_.advance(std::chrono::milliseconds(pick(0, 15)));
      case 4:
        return store();
      case 5:
        if (pick(0, 3) == 0) return die();
        if (pick(0, 3) == 0) return core_dies();
        return bus_.settle();
      default:
        return poll();
    }
  }

  void publish(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto fill = [this](TradeEvent& trade) { trade.mutate_buy_order_id(published_ + 1); };
      while (!publisher_->publish<TradeEvent>(fill)) bus_.step();
      ++published_;
    }
  }

  void poll() {
    const Batch* const batch = batcher_->poll(clock_.monotonic());
    if (batch == nullptr) return;
    if (pick(0, 2) == 0) bus_.settle();
    look_at(*batch);
    if (pick(0, 3) == 0) return;  // still at work
    take();
  }

  void take() {
    ASSERT_TRUE(batcher_->ack());
    next_ = batch_end_;
    standing_.reset();
  }

  // `next_`: where this owner of the name is to go on.
  void look_at(const Batch& batch) {
    ASSERT_EQ(batch.first, next_) << "no hole, and nothing twice to one owner";
    ASSERT_EQ(batch.events.size(), batch.end - batch.first);
    for (std::size_t i = 0; i < batch.events.size(); ++i) {
      ASSERT_EQ(batch.events[i].offset, batch.first + i);
      ASSERT_EQ(flatbuffers::GetRoot<TradeEvent>(batch.events[i].payload().data())->buy_order_id(),
                batch.events[i].offset->value() + 1);
    }
    if (const auto before = handed_out_.find(batch.first); before != handed_out_.end()) {
      ++again_;
      EXPECT_GE(batch.end, before->second) << "cut as before or later";
    }
    handed_out_[batch.first] = batch.end;
    batch_end_ = batch.end;
    EXPECT_EQ(standing_.value_or(batch.end), batch.end) << "the same batch until it is taken";
    standing_ = batch.end;
  }

  void store() {
    while (const auto records = bus_.consumers().take_store(clock_.wall())) {
      bus_.consumers().complete_store(bus_.checkpoints().store(*records));
    }
  }

  std::shared_ptr<SubscriberAttachment> attach(std::uint64_t generation) {
    auto attachment = bus_.attach_subscriber();
    EXPECT_TRUE(bus_.hold(*attachment, "sink", false, Offset(), generation));
    store();
    return attachment;
  }

  void begin() {
    link_ = std::make_shared<SubscriberLink>();
    attachment_ = attach(0);
    next_ = attachment_->consumer->checkpoint.offset;
    auto follower = Follower::open({link_, attachment_}, Level::synced, StartLatest{}, nullptr);
    ASSERT_TRUE(follower) << follower.error().message;
    batcher_ = std::make_unique<Batcher>(Subscriber(std::move(*follower), bus_.type()), "trade_events", limits_);
    standing_.reset();
  }

  void die() {
    batcher_.reset();
    bus_.detach_subscriber(*attachment_);
    begin();
  }

  void core_dies() {
    const std::uint64_t generation = attachment_->consumer->generation;
    bus_.settle();
    publisher_.reset();
    bus_.kill_core();
    ASSERT_TRUE(bus_.start_core());
    publisher_ = bus_.publisher("maker");
    attachment_ = attach(generation);
    link_->replace(attachment_);
  }

  std::mt19937 random_;
  ManualClock& clock_;
  MemoryBus bus_;
  std::unique_ptr<Publisher> publisher_;
  BatchLimits limits_;
  std::shared_ptr<SubscriberLink> link_;
  std::shared_ptr<SubscriberAttachment> attachment_;
  std::unique_ptr<Batcher> batcher_;
  std::uint64_t published_ = 0;
  Offset next_;
  Offset batch_end_;
  std::optional<Offset> standing_;
  std::map<Offset, Offset> handed_out_;  // batches, by their first offset
  int again_ = 0;
};

TEST_F(BatcherTest, WhateverDiesWhatWasNotAcknowledgedComesAgainCutAsBeforeOrLater) {
  int again = 0;
  for (std::uint32_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    wal::FaultFileSystem disk;
    MemoryBusOptions options = options_;
    options.files = &disk;
    options.ring_bytes = 32 * 4096;
    CrashRun run(seed, options, clock_);
    run.run(300);
    run.finish();
    again += run.again();
  }
  EXPECT_GT(again, 300) << "too few came again to tell";
}

}  // namespace
}  // namespace millrace::delayed
