// Proves what the log does on a disk that is full, read-only, that stalls, that rots, or that two writers want.
// FAILURES.md says where each case is proven.
#include <gtest/gtest.h>

#include <random>

#include "bus/base/temporary_folder.hpp"
#include "wal/checkpoints.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/locate.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"
#include "wal/testing/moody_file_system.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

TEST(DiskFailure, AFullDiskAtAStartLosesNothingAndTheNextStartGoesOn) {
  bool failed = true;
  std::size_t refused = 0;
  for (std::uint64_t n = 0; failed; ++n) {
    FaultFileSystem files;
    {
      auto writer = begin(files);
      ASSERT_TRUE(add_synced(*writer, 5));
    }
    files.fail_at(n, ErrorCode::no_space);
    {
      const auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
      if (!writer) {
        ++refused;
        ASSERT_EQ(writer.error().code, ErrorCode::no_space) << n << " " << writer.error().message;
      }
    }
    failed = files.failed();
    files.heal();
    if (n % 2 == 0) files.crash(n);
    const auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(writer) << n << " " << writer.error().message;
    ASSERT_EQ(writer->next_offset(), Offset(5)) << n;
    ASSERT_TRUE(writer->recovered().corruptions.empty()) << n;
  }
  EXPECT_GT(refused, 10u);
}

TEST(DiskFailure, AReadOnlyDiskIsReadAndNotWritten) {
  TemporaryFolder temporary;
  MoodyFileSystem files(posix_file_system());
  const std::string folder = temporary.path();
  {
    auto writer = begin(files, small_segments(), folder);
    ASSERT_TRUE(add_synced(*writer, 5));
    ASSERT_TRUE(Checkpoints::open(files, folder, log_id)->store({{"risk", 1, writer->run(), Offset(3), {}}}));
  }
  files.make_read_only(true);
  const auto writer = Writer::open(files, folder, small_segments(), WallTime{1});
  ASSERT_FALSE(writer);
  EXPECT_NE(writer.error().message.find("Read-only file system"), std::string::npos) << writer.error().message;
  EXPECT_TRUE(read_log(files, folder).is(0, 5));
  EXPECT_EQ(locate(files, folder, publisher, Epoch(1), Sequence(5))->offset, Offset(4));
  EXPECT_EQ(last_event(files, folder, publisher).value()->sequence, Sequence(5));
  EXPECT_FALSE(Checkpoints::open(files, folder, log_id)) << "what it reads it must be able to make durable";
  files.make_read_only(false);
  auto checkpoints = Checkpoints::open(files, folder, log_id);
  ASSERT_TRUE(checkpoints);
  EXPECT_EQ(checkpoints->records().size(), 1u);
  EXPECT_TRUE(checkpoints->store({}));
  EXPECT_EQ(Writer::open(files, folder, small_segments(), WallTime{1})->next_offset(), Offset(5));
}

TEST(DiskFailure, ADiskThatBecomesReadOnlyIsAFailureUntilItIsReopened) {
  TemporaryFolder temporary;
  MoodyFileSystem files(posix_file_system());
  const std::string folder = temporary.path();
  auto writer = begin(files, small_segments(), folder);
  ASSERT_TRUE(add_synced(*writer, 5));
  files.make_read_only(true);
  EXPECT_FALSE(add(*writer, 1));
  ASSERT_TRUE(writer->failure());
  EXPECT_NE(writer->failure()->message.find("Read-only file system"), std::string::npos);
  EXPECT_FALSE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew)) << "it is still";
  EXPECT_TRUE(read_log(files, folder).is(0, 5));
  files.make_read_only(false);
  ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
  ASSERT_TRUE(add(*writer, 3));
  EXPECT_TRUE(read_log(files, folder).is(0, 8));
}

// Segments are recycled all the time, so old batches of the same publisher stand behind every tail; then any subset of
// the unsynced blocks, creates and renames is lost.
TEST(DiskFailure, OldBatchesOfRecycledSegmentsNeverComeBackInACrash) {
  std::size_t recycled = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    FaultFileSystem files;
    std::mt19937_64 random(seed);
    std::uint64_t synced = 0;
    for (int life = 0; life < 3; ++life) {
      auto writer = begin(files, small_segments(16384));
      ASSERT_TRUE(writer) << seed << " " << writer.error().message;
      ASSERT_TRUE(writer->recovered().corruptions.empty()) << seed << " " << life;
      ASSERT_GE(writer->next_offset().value(), synced) << seed;
      const Seen seen = read_log(files);
      ASSERT_TRUE(seen.is(writer->first_offset().value(), writer->next_offset().value())) << seed << seen.problem;
      for (std::uint64_t i = 30 + random() % 60; i > 0; --i) {
        ASSERT_TRUE(add(*writer, 10));
        if (random() % 4 == 0) {
          ASSERT_TRUE(writer->sync());
        }
        if (random() % 4 == 0) {
          ASSERT_TRUE(writer->retain(3 * 16384));
          recycled += files.bytes_of("t/prepared") != nullptr;
        }
      }
      synced = writer->synced_end().value();
      files.crash(seed * 3 + static_cast<std::uint64_t>(life));
    }
  }
  EXPECT_GT(recycled, 500u);
}

// Every bit of every file of a small log. The last batch of the open segment is the one thing that nothing proves: bad,
// it is a torn tail.
TEST(DiskFailure, AFlippedBitAnywhereIsNamedOrHarmless) {
  FaultFileSystem files;
  for (int run = 0; run < 2; ++run) {
    auto writer = begin(files, small_segments(16384));
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(add_synced(*writer, 2));
    }
  }
  const std::uint64_t events = 12, last = 2;
  ASSERT_TRUE(read_log(files).is(0, events));
  std::size_t named = 0, torn = 0, harmless = 0;
  const auto names = files.list("t").value();
  EXPECT_EQ(names.size(), 4u);  // two segments, an index, the lock
  const auto chain = list_chain(files, "t").value();
  const Place end = recover(files, "t").value().end;
  for (const std::string& name : names) {
    const std::string path = join("t", name);
    const auto segment = parse_segment_name(name);
    const bool open = segment && segment->number == chain.back().name.number;
    const std::size_t used = !segment ? 0 : open ? end.at : *chain.front().end;
    const std::size_t proven = open ? used - sizeof(BatchHeader) - last * frame_size(64) : used;
    for (std::size_t bit = 0; bit < files.bytes_of(path)->size() * 8; ++bit) {
      const std::size_t at = bit / 8;
      if (segment && at >= used + 64 && at % 512 != 0) continue;  // behind the end: a few
      (*files.bytes_of(path))[at] ^= std::byte{1} << (bit % 8);
      const Seen seen = read_log(files);
      ASSERT_TRUE(seen.problem.empty()) << name << " bit " << bit << " " << seen.problem;
      if (!seen.corruptions.empty()) {
        ++named;
        ASSERT_EQ(seen.corruptions.size(), 1u);
        const Corruption& c = seen.corruptions[0];
        ASSERT_EQ(c.segment, *segment) << name << " bit " << bit;
        ASSERT_TRUE(c.from_byte <= at && at < c.to_byte) << name << " bit " << bit;
        ASSERT_EQ(seen.offsets.size() + (c.to - c.from), events) << name << " bit " << bit;
      } else if (seen.is(0, events)) {
        ++harmless;
        ASSERT_TRUE(!segment || at >= proven) << name << " bit " << bit << " counts but was not missed";
        ASSERT_TRUE(!open || at >= used) << name << " bit " << bit;
      } else {
        ++torn;
        ASSERT_TRUE(open && at >= proven) << name << " bit " << bit;
        ASSERT_TRUE(seen.is(0, events - last)) << name << " bit " << bit;
      }
      (*files.bytes_of(path))[at] ^= std::byte{1} << (bit % 8);
    }
  }
  EXPECT_GT(named, 70'000u);
  EXPECT_GT(torn, 2'000u);
  EXPECT_GT(harmless, 500u);
}

TEST(DiskFailure, ASecondWriterOnTheFolderIsRefusedWhileTheFirstIsUnharmed) {
  TemporaryFolder temporary;
  FileSystem& files = posix_file_system();
  {
    auto writer = begin(files, small_segments(), temporary.path());
    ASSERT_TRUE(add(*writer, 5));
    const auto second = Writer::open(files, temporary.path(), small_segments(), WallTime{1});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::in_use);
    EXPECT_NE(second.error().message.find(temporary.path()), std::string::npos);
    ASSERT_TRUE(add_synced(*writer, 5));
    EXPECT_EQ(segment_paths(files, temporary.path()).size(), 1u);
  }
  EXPECT_EQ(Writer::open(files, temporary.path(), small_segments(), WallTime{1})->next_offset(), Offset(10));
}

}  // namespace
}  // namespace millrace::wal
