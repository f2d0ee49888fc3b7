// Proves that a process that opens a log after another one's disk failure does not take what the page cache still shows
// for recorded, and that no note ever cuts off what counts.
#include "wal/failure_note.hpp"

#include <gtest/gtest.h>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr BootId boot{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// The log's disk, and another one for the notes.
class FailureNote : public ::testing::Test {
 protected:
  [[nodiscard]] WriterOptions options() {
    WriterOptions options = small_segments();
    options.notes_folder = "notes";
    options.notes_files = &notes_;
    options.boot_id = boot_;
    return options;
  }
  Result<Writer> start() { return begin(disk_, options()); }
  // Five events that are synced, and five that the disk lost though the page cache has them.
  void fail_a_sync() {
    auto writer = start();
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE(add(*writer, 5));
    ASSERT_TRUE(writer->sync());
    ASSERT_TRUE(add(*writer, 5));
    disk_.fail_at(0, ErrorCode::io_failed);
    ASSERT_FALSE(writer->sync());
    disk_.heal();
  }
  [[nodiscard]] std::vector<std::byte>* note() { return notes_.bytes_of("notes/" + to_hex(log_id.bytes) + ".failed"); }

  FaultFileSystem disk_;
  FaultFileSystem notes_;
  BootId boot_ = boot;
};

TEST_F(FailureNote, CutsTheLogWhereItWasSyncedLast) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    disk_ = FaultFileSystem();
    fail_a_sync();
    ASSERT_TRUE(read_log(disk_).is(0, 10)) << "the page cache shows them";
    ASSERT_NE(note(), nullptr);
    {
      auto writer = start();
      ASSERT_TRUE(writer) << writer.error().message;
      EXPECT_EQ(writer->next_offset(), Offset(5));
      EXPECT_EQ(writer->publishers().at(0).last_sequence, Sequence(5));
      EXPECT_EQ(note(), nullptr) << "a new segment says so now";
      EXPECT_TRUE(read_log(disk_).is(0, 5));
      ASSERT_TRUE(add(*writer, 7));
      ASSERT_TRUE(writer->sync());
    }
    disk_.crash(seed);
    auto writer = start();
    ASSERT_TRUE(writer);
    EXPECT_TRUE(writer->recovered().corruptions.empty());
    ASSERT_TRUE(read_log(disk_).is(0, 12)) << seed;
  }
}

// The reason for it all.
TEST_F(FailureNote, MissingLetsALaterCrashLoseWhatWasTakenForSynced) {
  fail_a_sync();
  {
    auto writer = begin(disk_);
    ASSERT_TRUE(writer);
    EXPECT_EQ(writer->synced_end(), Offset(10));
  }
  disk_.crash(1);
  EXPECT_FALSE(read_log(disk_).is(0, 10));
}

TEST_F(FailureNote, IsLeftByTheFailureOfAnyOperationAndNothingSyncedIsCut) {
  std::size_t left = 0;
  bool failed = true;
  for (std::uint64_t n = 0; failed; ++n) {
    disk_ = FaultFileSystem();
    notes_ = FaultFileSystem();
    disk_.fail_at(n, ErrorCode::io_failed, n % 2 == 0);
    std::uint64_t synced = 0;
    if (auto writer = start()) {
      for (int i = 0; i < 60; ++i) {
        if (!add(*writer, 10) || (i % 5 == 0 && !writer->sync())) break;
      }
      synced = writer->synced_end().value();
    }
    failed = disk_.failed();
    disk_.heal();
    left += note() != nullptr;
    std::uint64_t taken = 0;
    {
      auto writer = start();
      ASSERT_TRUE(writer) << n << " " << writer.error().message;
      EXPECT_TRUE(writer->recovered().corruptions.empty()) << n;
      taken = writer->next_offset().value();
      ASSERT_GE(taken, synced) << n;
    }
    ASSERT_EQ(note(), nullptr) << n;
    disk_.crash(n);
    const Seen seen = read_log(disk_);
    ASSERT_TRUE(seen.is(0, taken)) << n << " " << seen.problem << ": what was taken for recorded stays";
    ASSERT_TRUE(seen.corruptions.empty()) << n;
  }
  EXPECT_GT(left, 20u);
}

TEST_F(FailureNote, KnowsOfASyncThatEndedWellAfterTheFailure) {
  {
    auto writer = start();
    ASSERT_TRUE(writer->sync());
    ASSERT_TRUE(add(*writer, 5));
    const SyncTicket ticket = writer->begin_sync();
    ASSERT_TRUE(ticket.run());
    disk_.fail_at(0, ErrorCode::io_failed);
    ASSERT_FALSE(add(*writer, 1));
    disk_.heal();
    writer->complete_sync(ticket, {});
    ASSERT_EQ(writer->synced_end(), Offset(5));
  }
  EXPECT_EQ(start()->next_offset(), Offset(5));
}

TEST_F(FailureNote, ThatCannotBeCorrectedIsRemovedOrHoldsTheWatermark) {
  for (const bool removable : {true, false}) {
    disk_ = FaultFileSystem();
    notes_ = FaultFileSystem();
    std::uint64_t synced = 0;
    {
      auto writer = start();
      ASSERT_TRUE(writer->sync());
      ASSERT_TRUE(add(*writer, 5));
      const SyncTicket ticket = writer->begin_sync();
      ASSERT_TRUE(ticket.run());
      disk_.fail_at(0, ErrorCode::io_failed);
      ASSERT_FALSE(add(*writer, 1));
      disk_.heal();
      notes_.fail_at(0, ErrorCode::no_space, !removable);
      writer->complete_sync(ticket, {});
      notes_.heal();
      synced = writer->synced_end().value();
    }
    EXPECT_EQ(synced, removable ? 5u : 0u);
    EXPECT_GE(start()->next_offset().value(), synced);
  }
}

TEST_F(FailureNote, IsRemovedByAReopen) {
  auto writer = start();
  ASSERT_TRUE(add(*writer, 5));
  disk_.fail_at(0, ErrorCode::io_failed);
  ASSERT_FALSE(writer->sync());
  disk_.heal();
  ASSERT_NE(note(), nullptr);
  ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}));
  EXPECT_EQ(note(), nullptr);
}

TEST_F(FailureNote, ThatCouldNotBeLeftIsSaid) {
  auto writer = start();
  ASSERT_TRUE(add(*writer, 5));
  disk_.fail_at(0, ErrorCode::io_failed);
  notes_.fail_at(0, ErrorCode::no_space);
  const Status synced = writer->sync();
  ASSERT_FALSE(synced);
  EXPECT_NE(writer->failure()->message.find("no note"), std::string::npos) << writer->failure()->message;
}

TEST_F(FailureNote, OfAnEarlierSegmentIsVoid) {
  fail_a_sync();
  const std::vector<std::byte> stale = *note();
  {
    auto writer = start();
    ASSERT_TRUE(add(*writer, 7));
    ASSERT_TRUE(writer->sync());
  }
  { auto file = notes_.create("notes/" + to_hex(log_id.bytes) + ".failed").value(); }
  *note() = stale;
  EXPECT_EQ(start()->next_offset(), Offset(12));
}

TEST_F(FailureNote, OfAnotherRunOfTheHostOrLogOrWithAFlippedBitIsVoid) {
  fail_a_sync();
  const FailureNotes notes(notes_, "notes", boot);
  const auto end = notes.read(log_id);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->segment, SegmentNumber(1));
  EXPECT_EQ(end->next_offset, Offset(5));
  EXPECT_FALSE(notes.read(LogId{{7}}));
  EXPECT_FALSE(FailureNotes(notes_, "notes", BootId{9}).read(log_id));
  EXPECT_FALSE(FailureNotes(notes_, "notes", BootId{}).read(log_id)) << "the kernel does not tell";
  for (std::size_t bit = 0; bit < sizeof(NoteRecord) * 8; ++bit) {
    (*note())[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_FALSE(notes.read(log_id)) << bit;
    (*note())[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  boot_[0] ^= 1;  // the host was started again: the disk tells the truth
  disk_.crash(4);
  EXPECT_GE(start()->next_offset(), Offset(5));
}

TEST_F(FailureNote, KeepsOffsetsFromBeingGivenOutAgainWhenWhatWasSyncedIsBad) {
  fail_a_sync();
  const std::size_t in_first_batch = 4096 + sizeof(BatchHeader) + sizeof(PublisherRecord) + sizeof(BatchHeader) + 50;
  (*disk_.bytes_of(segment_paths(disk_).at(0)))[in_first_batch] ^= std::byte{1};
  auto writer = start();
  ASSERT_TRUE(writer);
  ASSERT_EQ(writer->recovered().corruptions.size(), 1u);
  EXPECT_EQ(writer->recovered().corruptions[0].to, Offset(5));
  EXPECT_EQ(writer->next_offset(), Offset(5));
}

TEST(BootIdOfHost, IsTheSameEachTimeAndNotNil) {
  EXPECT_NE(boot_id_of_host(), BootId{});
  EXPECT_EQ(boot_id_of_host(), boot_id_of_host());
}

}  // namespace
}  // namespace millrace::wal
