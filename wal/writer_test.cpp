// Proves the writer's promises: when it syncs, what a failure leaves, that no space changes nothing, and what it does
// with files.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "bus/base/temporary_folder.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

TEST(Writer, SyncsAtOnceForWhoWaitsElseAfterTheLinger) {
  FaultFileSystem files;
  WriterOptions options = small_segments();
  options.linger_bytes = 2000;
  auto writer = begin(files, options);
  ASSERT_TRUE(writer->sync());
  const MonotonicTime now{1000};
  EXPECT_FALSE(writer->sync_due(now, true));  // nothing is unsynced
  ASSERT_TRUE(add(*writer, 1));
  EXPECT_FALSE(writer->sync_due(now, false));
  EXPECT_TRUE(writer->sync_due(now, true));
  EXPECT_FALSE(writer->sync_due(now + options.linger / 2, false));
  EXPECT_TRUE(writer->sync_due(now + options.linger, false));
  ASSERT_TRUE(writer->sync());
  ASSERT_TRUE(add(*writer, 20));
  EXPECT_TRUE(writer->sync_due(now + options.linger, false));  // linger_bytes
}

TEST(Writer, SyncsByItsPolicy) {
  FaultFileSystem files;
  WriterOptions options = small_segments();
  options.policy = SyncPolicy::interval;
  {
    auto writer = begin(files, options);
    EXPECT_FALSE(writer->sync_due(MonotonicTime{5}, true));
    EXPECT_TRUE(writer->sync_due(MonotonicTime{5} + options.interval, false));
  }
  options.policy = SyncPolicy::none;
  auto writer = begin(files, options);
  ASSERT_TRUE(add(*writer, 1));
  EXPECT_FALSE(writer->sync_due(MonotonicTime{5}, true));
  EXPECT_FALSE(writer->sync_due(MonotonicTime{5'000'000'000'000}, true));
}

TEST(Writer, RefusesWhatDoesNotContinueAPublisher) {
  FaultFileSystem files;
  auto writer = begin(files);
  const auto code = [&](PublisherId who, std::uint64_t epoch, std::uint64_t first, std::uint32_t count) {
    return writer->append(who, Epoch(epoch), Sequence(first), count, frames(first, count), WallTime{1}).error().code;
  };
  EXPECT_EQ(code(PublisherId(2), 1, 1, 1), ErrorCode::invalid_argument);
  EXPECT_EQ(code(publisher, 2, 1, 1), ErrorCode::invalid_argument);
  EXPECT_EQ(code(publisher, 1, 2, 1), ErrorCode::sequence_error);
  EXPECT_EQ(code(publisher, 1, 1, 0), ErrorCode::invalid_argument);
  EXPECT_EQ(code(publisher, 1, 1, 400), ErrorCode::too_large);
  EXPECT_EQ(writer->append_gap(publisher, Sequence(2), Sequence(3), 0, WallTime{1}).error().code,
            ErrorCode::sequence_error);
  EXPECT_EQ(writer->next_offset(), Offset(0));
  EXPECT_TRUE(add(*writer, 2));
  EXPECT_TRUE(read_log(files).is(0, 2));
}

TEST(Writer, WritesAgainWhatAnEarlierLifeCouldNotSync) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    FaultFileSystem files;
    {
      auto writer = begin(files);
      ASSERT_TRUE(add_synced(*writer, 5));
      ASSERT_TRUE(add(*writer, 100));
      files.fail_at(0, ErrorCode::io_failed);
      EXPECT_FALSE(writer->sync());
      files.heal();
    }
    {
      auto next = Writer::open(files, "t", small_segments(), WallTime{1});
      ASSERT_TRUE(next);
      EXPECT_EQ(next->synced_end(), Offset(105));
    }
    files.crash(seed);
    EXPECT_TRUE(read_log(files).is(0, 105)) << "crash " << seed;
  }
}

TEST(Writer, AnswersNoSpaceOnlyWhereTryingAgainHelps) {
  FaultFileSystem files;
  auto writer = begin(files);
  files.fail_at(0, ErrorCode::no_space);
  EXPECT_EQ(add(*writer, 1).error().code, ErrorCode::io_failed);
  files.heal();
  EXPECT_EQ(add(*writer, 1).error().code, ErrorCode::io_failed);
  EXPECT_EQ(writer->failure()->code, ErrorCode::io_failed);
}

TEST(Writer, IsClosedByAFailedSyncAndGoesOnFromItsLastSyncedOffset) {
  FaultFileSystem files;
  auto writer = begin(files);
  ASSERT_TRUE(add_synced(*writer, 5));
  ASSERT_TRUE(add(*writer, 5));
  const SyncTicket before = writer->begin_sync();
  files.fail_at(0, ErrorCode::io_failed);
  EXPECT_FALSE(writer->sync());
  files.heal();
  EXPECT_EQ(add(*writer, 1).error().code, ErrorCode::io_failed);  // for ever
  EXPECT_EQ(writer->sync().error().code, ErrorCode::io_failed);
  EXPECT_FALSE(writer->sync_due(MonotonicTime{1}, true));
  EXPECT_EQ(writer->next_offset(), Offset(10));
  EXPECT_EQ(writer->synced_end(), Offset(5));
  ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
  EXPECT_EQ(writer->next_offset(), Offset(5));
  EXPECT_EQ(writer->publishers().at(0).last_sequence, Sequence(5));
  writer->complete_sync(before, {});  // of the life before: ignored
  EXPECT_EQ(writer->synced_end(), Offset(5));
  ASSERT_TRUE(add_synced(*writer, 7));
  EXPECT_TRUE(read_log(files).is(0, 12));
  files.crash(1);
  auto again = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->recovered().corruptions.empty());
  EXPECT_EQ(again->next_offset(), Offset(12));
  EXPECT_TRUE(read_log(files).is(0, 12));
}

TEST(Writer, FindsNothingChangedWhenThereIsNoSpaceForASegment) {
  // Every operation of a roll fails in turn, until one roll meets no failure.
  std::size_t unchanged = 0;
  for (std::uint64_t n = 0;; ++n) {
    FaultFileSystem files;
    auto writer = begin(files);
    ASSERT_TRUE(writer->sync());
    while (writer->unsynced_bytes() + 10 * frame_size(64) + sizeof(BatchHeader) + 4096 < 32768) {
      ASSERT_TRUE(add(*writer, 10));
    }
    const Offset end = writer->next_offset();
    files.fail_at(n, ErrorCode::no_space);
    const Status rolled = add(*writer, 10);
    const bool failed = files.failed();
    files.heal();
    ASSERT_EQ(writer->next_offset(), rolled ? end + 10 : end) << n;
    if (!rolled) {
      ASSERT_EQ(rolled.error().code, writer->failure() ? ErrorCode::io_failed : ErrorCode::no_space) << n;
    }
    if (writer->failure()) {
      ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew)) << n;
      while (writer->next_offset() < end) ASSERT_TRUE(add(*writer, 10));
    } else {
      unchanged += !rolled;
    }
    if (!rolled) {
      ASSERT_TRUE(add(*writer, 10)) << n;
    }
    const Seen seen = read_log(files);
    ASSERT_TRUE(seen.is(0, end.value() + 10)) << n << " " << seen.problem;
    ASSERT_TRUE(seen.corruptions.empty()) << n;
    if (!failed) break;
  }
  EXPECT_GE(unchanged, 4u);  // create, reserve, write the header, rename
}

TEST(Writer, TriesAgainToPrepareWhenThereWasNoSpace) {
  FaultFileSystem files;
  auto writer = begin(files);
  for (std::uint64_t n = 0; n < 5; ++n) {
    files.fail_at(n, ErrorCode::no_space);
    for (Result<bool> more = true; more && *more;) more = writer->prepare_next_segment();
    files.heal();
    EXPECT_FALSE(writer->failure());
    ASSERT_TRUE(add(*writer, 1));
  }
  for (Result<bool> more = true; *more;) {
    more = writer->prepare_next_segment();
    ASSERT_TRUE(more);
  }
  EXPECT_TRUE(files.bytes_of("t/prepared"));
  while (files.bytes_of("t/prepared")) ASSERT_TRUE(add(*writer, 9));
  EXPECT_EQ(segment_paths(files).size(), 2u);
}

TEST(Writer, KeepsADeletedSegmentForTheNextUnlessSomebodyReadsIt) {
  FaultFileSystem files;
  auto writer = begin(files);
  auto reader = Reader::open(files, "t");
  while (segment_paths(files).size() < 5) ASSERT_TRUE(add(*writer, 10));
  EXPECT_EQ(writer->retain(4 * 32768).value(), 1u);
  EXPECT_EQ(files.bytes_of("t/prepared"), nullptr);
  EXPECT_EQ(writer->retain(3 * 32768).value(), 1u);
  EXPECT_NE(files.bytes_of("t/prepared"), nullptr);
  EXPECT_FALSE(writer->prepare_next_segment().value());
  EXPECT_EQ(writer->retain(1).value(), 2u);  // the open one stays
  EXPECT_EQ(segment_paths(files).size(), 1u);
}

TEST(Writer, DeletesSegmentsByTheAgeOfTheirNewestEvent) {
  using namespace std::chrono_literals;
  FaultFileSystem files;
  ManualClock clock;
  auto writer = begin(files);
  const WallTime first = clock.wall();
  while (segment_paths(files).size() < 2) {
    ASSERT_TRUE(add(*writer, 10, clock.wall()));
    clock.advance(1s);
  }
  // The event that began the second segment is the newest so far; the first's newest is two seconds old by now.
  const WallTime second = clock.wall();
  EXPECT_EQ(writer->retain_since(first).value(), 0u);
  EXPECT_EQ(writer->retain_since(second + -2s).value(), 0u) << "as old as that, and not older";
  clock.advance(24h);
  while (segment_paths(files).size() < 3) ASSERT_TRUE(add(*writer, 10, clock.wall()));
  EXPECT_EQ(writer->retain_since(second).value(), 1u) << "the second holds events of a day later, too";
  EXPECT_EQ(segment_paths(files).size(), 2u);
  clock.advance(24h);
  EXPECT_EQ(writer->retain_since(clock.wall()).value(), 1u) << "the one that is being written stays, however old";
  EXPECT_EQ(segment_paths(files).size(), 1u);
  EXPECT_GT(writer->first_offset(), Offset(0));
}

TEST(Writer, AStartNeverTakesASegmentForOlderThanItIs) {
  using namespace std::chrono_literals;
  FaultFileSystem files;
  ManualClock clock;
  for (int day = 0; day < 3; ++day, clock.advance(24h)) {
    auto writer = Writer::open(files, "t", small_segments(), clock.wall());
    ASSERT_TRUE(writer);
    if (day == 0) {
      ASSERT_TRUE(writer->append_publisher(matching(), clock.wall()));
    }
    ASSERT_TRUE(add(*writer, 10, clock.wall()));
    clock.advance(1h);
    ASSERT_TRUE(add(*writer, 10, clock.wall()));
    ASSERT_TRUE(writer->sync());
    clock.advance(-1h);
  }
  // Events of three days, in a segment each; it is the fourth day.
  auto writer = Writer::open(files, "t", small_segments(), clock.wall());
  ASSERT_TRUE(writer);
  ASSERT_EQ(segment_paths(files).size(), 4u);
  const WallTime third_day = clock.wall() + -24h;
  EXPECT_EQ(writer->retain_since(third_day + -24h).value(), 0u);
  EXPECT_EQ(writer->retain_since(third_day + 1ns).value(), 2u) << "as of when the segments behind them began";
  EXPECT_EQ(writer->retain_since(third_day + 1h).value(), 0u);
  EXPECT_EQ(writer->retain_since(third_day + 1h + 1ns).value(), 1u) << "its newest event is known";
}

TEST(Writer, LeavesNothingBehindWhenAStartRecordsNothing) {
  FaultFileSystem files;
  {
    auto writer = begin(files);
    ASSERT_TRUE(add(*writer, 4));
  }
  for (std::uint64_t run = 2; run < 8; ++run) {
    auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(writer);
    EXPECT_EQ(writer->run().value(), run);
    EXPECT_EQ(segment_paths(files).size(), 2u);
    EXPECT_EQ(writer->publishers().size(), 1u);
  }
  EXPECT_TRUE(read_log(files).is(0, 4));
}

TEST(Writer, GivesBackTheSpaceThatAClosedSegmentDidNotNeed) {
  TemporaryFolder temporary;
  const std::string folder = temporary.path() + "/t";
  WriterOptions options = small_segments(8 << 20);
  {
    auto writer = begin(posix_file_system(), options, folder);
    ASSERT_TRUE(add(*writer, 4));
  }
  auto writer = Writer::open(posix_file_system(), folder, options, WallTime{1});
  ASSERT_TRUE(writer);
  struct stat status {};
  ASSERT_EQ(::stat(segment_paths(posix_file_system(), folder).at(0).c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  EXPECT_TRUE(read_log(posix_file_system(), folder).is(0, 4));
}

}  // namespace
}  // namespace millrace::wal
