// Proves that a durable consumer's acknowledgement counts once it is on the disk, never goes beyond what is synced, and
// that one process at a time has a name.
#include "bus/recorder/consumers.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

constexpr WallTime now{1'700'000'000'000'000'000};

class ConsumersTest : public ::testing::Test {
 protected:
  ConsumersTest() { marks_->topic.synced_end = 100; }

  void open() {
    ASSERT_TRUE(disk_.make_folder("/log"));
    checkpoints_.emplace(wal::Checkpoints::open(disk_, "/log", log_id_).value());
    consumers_.emplace(checkpoints_->records(), *marks_);
  }
  // Stores what there is, as the core does.
  Status store() {
    const auto records = consumers_->take_store(now);
    if (!records) return {};
    const Status status = checkpoints_->store(*records);
    consumers_->complete_store(status);
    return status;
  }
  Result<Consumers::Claimed> claim(Consumers::Owner owner, const ring::SubscriberPage& page, bool take_over = false,
                                   std::uint64_t start = 10, std::uint64_t generation = 0) {
    return consumers_->claim({"risk", owner, &page, 1, take_over, Offset(start), millrace::Run(1), generation}, now);
  }
  Result<Consumers::Claimed> come_back(Consumers::Owner owner, const ring::SubscriberPage& page,
                                       std::uint64_t generation) {
    return claim(owner, page, false, 10, generation);
  }
  [[nodiscard]] std::uint64_t shown() const {
    const ring::ConsumerMark* mark = marks_->find_consumer(key_of("risk"));
    return mark == nullptr ? ~std::uint64_t{0} : mark->acked.load();
  }

  LogId log_id_{random_uuid_bytes()};
  wal::FaultFileSystem disk_;
  std::unique_ptr<ring::Watermarks> marks_ = std::make_unique<ring::Watermarks>();
  std::optional<wal::Checkpoints> checkpoints_;
  std::optional<Consumers> consumers_;
  ring::SubscriberPage page_{}, other_{};
};

TEST_F(ConsumersTest, AnAcknowledgementIsShownOnceItIsStoredAndNeverBeyondWhatIsSynced) {
  open();
  const auto claimed = claim(1, page_);
  ASSERT_TRUE(claimed);
  EXPECT_EQ(claimed->checkpoint, Offset(10));
  EXPECT_FALSE(consumers_->stored(consumers_->changes()));
  ASSERT_TRUE(store());
  EXPECT_TRUE(consumers_->stored(consumers_->changes()));
  page_.state.acked = 50;
  const auto records = consumers_->take_store(now);
  ASSERT_TRUE(records);
  EXPECT_EQ(shown(), 10u) << "not on the disk yet";
  EXPECT_FALSE(consumers_->take_store(now)) << "one at a time";
  consumers_->complete_store(checkpoints_->store(*records));
  EXPECT_EQ(shown(), 50u);
  page_.state.acked = 500;
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 100u);
  marks_->topic.synced_end = 501;
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 500u);
  page_.state.acked = 20;
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 500u) << "cumulative";
}

TEST_F(ConsumersTest, OneProcessAtATimeHasAName) {
  open();
  ASSERT_TRUE(claim(1, page_));
  EXPECT_EQ(marks_->find_consumer(key_of("risk")), nullptr) << "nobody is told of a name that a crash would undo";
  ASSERT_TRUE(store());
  EXPECT_EQ(claim(2, other_).error().code, ErrorCode::in_use);
  page_.state.acked = 30;
  const auto taken = claim(2, other_, true);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->checkpoint, Offset(30)) << "what was acknowledged before counts";
  EXPECT_EQ(marks_->find_consumer(key_of("risk"))->generation, taken->generation);
  page_.state.acked = 60;  // it wakes up late
  other_.state.acked = 40;
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 40u);
  consumers_->release(1);  // its end is not the other's
  EXPECT_EQ(claim(3, page_).error().code, ErrorCode::in_use);
  other_.state.acked = 45;
  consumers_->release(2);
  ring::SubscriberPage third{};
  EXPECT_EQ(claim(3, third)->checkpoint, Offset(45));
}

TEST_F(ConsumersTest, AnOwnerComesBackUnderItsGenerationUnlessTheNameHasMovedOn) {
  open();
  const std::uint64_t generation = claim(1, page_)->generation;
  page_.state.acked = 30;
  ASSERT_TRUE(store());
  ASSERT_EQ(come_back(2, other_, generation)->generation, generation) << "over another connection, to the same core";
  other_.state.acked = 40;
  consumers_->release(1);
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 40u);

  open();  // the next core
  const auto back = come_back(1, page_, generation);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->generation, generation);
  EXPECT_EQ(back->checkpoint, Offset(40));
  EXPECT_EQ(claim(2, other_).error().code, ErrorCode::in_use);
  ASSERT_TRUE(claim(2, other_, true));
  ASSERT_TRUE(store());
  consumers_->release(2);

  open();
  EXPECT_EQ(come_back(1, page_, generation).error().code, ErrorCode::fenced) << "another had the name since";
  EXPECT_TRUE(come_back(1, page_, generation + 1)) << "that other";
  ASSERT_TRUE(consumers_->reset("risk", Offset(5), millrace::Run(1), now));
  EXPECT_EQ(come_back(1, page_, generation + 1).error().code, ErrorCode::fenced) << "it was reset since";
  ASSERT_TRUE(consumers_->remove("risk"));
  EXPECT_EQ(come_back(1, page_, generation + 2).error().code, ErrorCode::fenced) << "it is no more";
  EXPECT_TRUE(claim(1, page_));
}

TEST_F(ConsumersTest, ResetAndRemoveFenceOff) {
  open();
  ASSERT_TRUE(claim(1, page_));
  page_.state.acked = 90;
  const auto storing = consumers_->take_store(now);
  EXPECT_EQ(consumers_->remove("risk").error().code, ErrorCode::in_use);
  ASSERT_TRUE(consumers_->reset("risk", Offset(5), millrace::Run(1), now));
  consumers_->complete_store(checkpoints_->store(*storing));  // of before
  page_.state.acked = 95;
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 5u);
  EXPECT_EQ(claim(2, other_)->checkpoint, Offset(5));
  consumers_->release(2);
  ASSERT_TRUE(consumers_->remove("risk"));
  EXPECT_EQ(marks_->find_consumer(key_of("risk")), nullptr);
  ASSERT_TRUE(store());
  EXPECT_EQ(consumers_->reset("risk", Offset(5), millrace::Run(1), now).error().code, ErrorCode::not_found);
  EXPECT_TRUE(wal::Checkpoints::open(disk_, "/log", log_id_)->records().empty());
}

TEST_F(ConsumersTest, AFailedStoreIsTriedAgainAndShowsNothing) {
  open();
  ASSERT_TRUE(claim(1, page_));
  ASSERT_TRUE(store());
  page_.state.acked = 70;
  disk_.fail_at(0, ErrorCode::io_failed, true);
  EXPECT_FALSE(store());
  EXPECT_EQ(shown(), 10u);
  EXPECT_FALSE(consumers_->failure().empty());
  disk_.heal();
  ASSERT_TRUE(store());
  EXPECT_EQ(shown(), 70u);
  EXPECT_TRUE(consumers_->failure().empty());
}

TEST_F(ConsumersTest, WhateverWasShownIsThereAfterACrashAnywhere) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    disk_ = {};
    marks_ = std::make_unique<ring::Watermarks>();
    marks_->topic.synced_end = 1'000'000;
    page_.state.acked = 0;
    open();
    std::mt19937_64 random(seed);
    ASSERT_TRUE(claim(1, page_, false, 0));
    disk_.fail_at(random() % 60, ErrorCode::io_failed, true);  // here the power goes
    std::uint64_t acked = 0;
    while (store()) page_.state.acked = acked += random() % 10;
    const bool ever_stored = consumers_->stored(1);
    EXPECT_EQ(marks_->find_consumer(key_of("risk")) != nullptr, ever_stored) << seed;
    const std::uint64_t was_shown = ever_stored ? shown() : 0;
    disk_.heal();
    disk_.crash(seed);
    const auto after = wal::Checkpoints::open(disk_, "/log", log_id_);
    ASSERT_TRUE(after) << seed << ": " << after.error().message;
    if (!ever_stored && after->records().empty()) continue;
    ASSERT_EQ(after->records().size(), 1u) << seed;
    EXPECT_GE(after->records()[0].acked.value(), was_shown) << seed;
    EXPECT_LE(after->records()[0].acked.value(), acked) << seed;
  }
}

}  // namespace
}  // namespace millrace
