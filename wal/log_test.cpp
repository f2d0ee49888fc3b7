// Proves that what was appended is read back in order, live and after a restart, and that a crash loses nothing synced.
#include <gtest/gtest.h>

#include <random>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

// Sequences 1, 2, 3 ... at offsets 0, 1, 2 ...; the number of them, or -1.
std::int64_t count_in_order(Reader& reader, std::uint64_t expected = 0) {
  for (;;) {
    auto batch = reader.next();
    if (!batch) return ADD_FAILURE() << batch.error().message, -1;
    if (!*batch) return static_cast<std::int64_t>(expected);
    EventCursor events(**batch);
    while (const auto event = events.next()) {
      if (event->offset != Offset(expected) || event->frame.sequence() != Sequence(expected + 1)) return -1;
      ++expected;
    }
  }
}

TEST(Log, IsReadBackInOrderLiveAndAfterARestart) {
  FaultFileSystem files;
  {
    auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(writer) << writer.error().message;
    EXPECT_EQ(Writer::open(files, "t", small_segments(), WallTime{1}).error().code, ErrorCode::in_use);
    auto reader = Reader::open(files, "t");
    ASSERT_TRUE(reader) << reader.error().message;
    ASSERT_TRUE(writer->append_publisher(matching(), WallTime{1}));
    std::int64_t seen = 0;
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(add(*writer, 7));
      seen = count_in_order(*reader, static_cast<std::uint64_t>(seen));
      ASSERT_EQ(seen, (i + 1) * 7);
    }
    ASSERT_TRUE(writer->sync());
    EXPECT_EQ(writer->synced_end(), Offset(1400));
  }
  auto again = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->next_offset(), Offset(1400));
  EXPECT_EQ(again->run(), millrace::Run(2));
  ASSERT_TRUE(add(*again, 3));
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(reader);
  EXPECT_EQ(count_in_order(*reader), 1403);
}

TEST(Log, LosesNothingSyncedInACrash) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    FaultFileSystem files;
    files.make_writes_short(seed % 3 == 0);
    std::int64_t synced = 0, written = 0;
    for (int life = 0; life < 3; ++life) {
      auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
      ASSERT_TRUE(writer) << seed << " " << writer.error().message;
      EXPECT_TRUE(writer->recovered().corruptions.empty()) << seed;
      const auto end = static_cast<std::int64_t>(writer->next_offset().value());
      ASSERT_GE(end, synced) << seed;
      if (life > 0) {
        ASSERT_LE(end, written) << seed;
      }
      auto reader = Reader::open(files, "t");
      ASSERT_TRUE(reader) << seed;
      ASSERT_EQ(count_in_order(*reader), end) << seed;
      if (writer->publishers().empty()) {
        ASSERT_TRUE(writer->append_publisher(matching(), WallTime{1}));
      }
      std::mt19937_64 random(seed * 3 + static_cast<std::uint64_t>(life));
      for (int i = static_cast<int>(random() % 120); i > 0; --i) {
        ASSERT_TRUE(add(*writer, 1 + static_cast<std::uint32_t>(random() % 20)));
        if (random() % 4 == 0) {
          ASSERT_TRUE(writer->sync());
        }
      }
      synced = static_cast<std::int64_t>(writer->synced_end().value());
      written = static_cast<std::int64_t>(writer->next_offset().value());
      files.crash(seed);
    }
  }
}

TEST(Log, FailingAtAnyOperationNeverLosesWhatWasSynced) {
  for (std::uint64_t n = 0;; ++n) {
    FaultFileSystem files;
    files.fail_at(n, ErrorCode::io_failed);
    std::uint64_t synced = 0;
    {
      auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
      if (writer && writer->append_publisher(matching(), WallTime{1})) {
        for (int i = 0; i < 60; ++i) {
          if (!add(*writer, 10) || (i % 5 == 0 && !writer->sync())) break;
        }
        synced = writer->synced_end().value();
        if (writer->failure()) {
          ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew)) << n;
          ASSERT_EQ(writer->next_offset(), Offset(synced)) << n;
        }
      }
    }
    const bool failed = files.failed();
    files.heal();
    files.crash(n);
    auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(writer) << n << " " << writer.error().message;
    ASSERT_GE(writer->next_offset().value(), synced) << n;
    if (!failed) break;
  }
}

}  // namespace
}  // namespace millrace::wal
