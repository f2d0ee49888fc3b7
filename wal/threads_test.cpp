// Proves that a log is written, rolled and deleted while other threads sync it and look sequences up in it. The thread
// sanitizer runs these cases and live_reading_test; all others of this folder have one thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "bus/base/temporary_folder.hpp"
#include "wal/locate.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"
#include "wal/testing/moody_file_system.hpp"

namespace millrace::wal {
namespace {

using namespace testing;
using Kind = Located::Kind;

TEST(Writer, GoesOnWhileAnotherThreadSyncs) {
  TemporaryFolder temporary;
  auto writer = begin(posix_file_system(), small_segments(), temporary.path());
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(add(*writer, 5));
    const SyncTicket ticket = writer->begin_sync();
    Status result;
    std::thread other([&] { result = ticket.run(); });
    for (int more = 0; more < 10; ++more) ASSERT_TRUE(add(*writer, 3));  // rolls now and then
    other.join();
    ASSERT_TRUE(result);
    writer->complete_sync(ticket, result);
    ASSERT_GE(writer->synced_end(), ticket.end());
    ASSERT_LT(writer->synced_end(), writer->next_offset() + 1);
  }
  EXPECT_TRUE(read_log(posix_file_system(), temporary.path()).is(0, writer->next_offset().value()));
}

TEST(DiskFailure, ASyncThatDoesNotEndHoldsTheWatermarkAndNothingElse) {
  TemporaryFolder temporary;
  MoodyFileSystem files(posix_file_system());
  auto writer = begin(files, small_segments(), temporary.path());
  auto reader = Reader::open(files, temporary.path());
  ASSERT_TRUE(add_synced(*writer, 5));
  ASSERT_TRUE(add(*writer, 5));
  const SyncTicket ticket = writer->begin_sync();
  files.make_syncs_block(true);
  Status result;
  std::thread disk([&] { result = ticket.run(); });
  files.wait_for_a_blocked_sync();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(add(*writer, 5));
  EXPECT_TRUE(read_all(*reader).is(0, 60));
  EXPECT_EQ(writer->synced_end(), Offset(5));
  EXPECT_EQ(locate(files, temporary.path(), publisher, Epoch(1), Sequence(60))->kind, Located::Kind::recorded);
  files.make_syncs_block(false);
  disk.join();
  ASSERT_TRUE(result);
  writer->complete_sync(ticket, result);
  EXPECT_EQ(writer->synced_end(), Offset(10));
  ASSERT_TRUE(writer->sync());
  EXPECT_EQ(writer->synced_end(), Offset(60));
}

TEST(Locate, AnswersWhileTheLogIsWrittenRolledAndDeleted) {
  TemporaryFolder temporary;
  const std::string folder = temporary.path() + "/log";
  FileSystem& files = posix_file_system();
  auto writer = begin(files, small_segments(), folder);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(add(*writer, 1));
  std::atomic<std::uint64_t> recorded{1};
  std::atomic<bool> closed{false};
  std::string problem;
  std::uint64_t found = 0;
  {
    const std::jthread seeker([&] {
      std::mt19937_64 random(5);
      while (!closed && problem.empty()) {
        const std::uint64_t end = recorded;
        const std::uint64_t sequence = end - random() % std::min<std::uint64_t>(end, 2000);
        const auto at = locate(files, folder, publisher, Epoch(1), Sequence(sequence));
        const auto last = last_event(files, folder, publisher);
        if (!at) {
          problem = at.error().message;
        } else if (at->kind == Kind::recorded ? at->offset != Offset(sequence - 1) : at->kind != Kind::deleted) {
          problem = "sequence " + std::to_string(sequence) + " of " + std::to_string(end) + " is kind " +
                    std::to_string(static_cast<int>(at->kind));
        } else if (!last) {
          problem = last.error().message;
        } else if (!*last || (*last)->sequence < Sequence(end)) {
          problem = "the last event is older than " + std::to_string(end);
        }
        found += at && at->kind == Kind::recorded;
      }
    });
    for (int i = 0; i < 5'000; ++i) {
      ASSERT_TRUE(add(*writer, 1 + static_cast<std::uint32_t>(i % 9)));
      recorded = writer->next_offset().value();
      if (i % 50 == 0) {
        ASSERT_TRUE(writer->prepare_next_segment());
      }
      if (i % 100 == 0) {
        ASSERT_TRUE(writer->retain(6 * 32768));
      }
    }
    closed = true;
  }
  EXPECT_EQ(problem, "");
  EXPECT_GT(found, 0u);
}

}  // namespace
}  // namespace millrace::wal
