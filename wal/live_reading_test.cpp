// Proves that readers that seek and read while the log is written flat out, rolled, recycled and deleted always come to
// its end: told the end, a reader never says that there is nothing before it.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bus/base/temporary_folder.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

struct Ends {
  std::atomic<std::uint64_t> recorded{0};
  std::atomic<std::uint64_t> synced{0};
  std::atomic<bool> closed{false};
};

// Seeks to a random offset there is, reads `stretch` events or to the end, and again; the last time to the very end.
class Seeker {
 public:
  Seeker(std::string folder, ReadMode mode, const Ends& ends, const std::atomic<std::uint64_t>& end, std::uint32_t seed)
      : folder_(std::move(folder)), mode_(mode), ends_(ends), end_(end), random_(seed) {}

  void run() {
    for (bool last = false; !last && problem_.empty();) {
      last = ends_.closed;
      auto reader = Reader::open(posix_file_system(), folder_, mode_);
      if (!reader) return complain("open", reader.error());
      const std::uint64_t end = end_, first = reader->first_offset().value();
      if (end <= first) continue;
      const std::uint64_t from = std::uniform_int_distribution(first, end - 1)(random_);
      const Status found = reader->seek(Offset(from));
      if (!found && found.error().code == ErrorCode::deleted) continue;
      if (!found) return complain("seek", found.error());
      read(*reader, from, last ? ~0ull : from + stretch_(random_));
    }
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }

 private:
  void read(Reader& reader, std::uint64_t next, std::uint64_t to) {
    for (;;) {
      const bool closed = ends_.closed;
      const std::uint64_t end = end_;
      if (next >= to || (closed && next >= end)) return;
      auto batch = reader.next(Offset(end));
      if (!batch && batch.error().code == ErrorCode::deleted) return;
      if (!batch) return complain("next", batch.error());
      if (!*batch) {
        if (next < end) {
          problem_ = "nothing at " + std::to_string(next) + " though the end is " + std::to_string(end);
          return;
        }
        std::this_thread::yield();
        continue;
      }
      EventCursor events(**batch, Offset(next));
      while (const auto event = events.next()) {
        if (event->offset.value() != next || event->frame.sequence().value() != next + 1) {
          problem_ = "offset " + std::to_string(event->offset.value()) + " instead of " + std::to_string(next);
          return;
        }
        ++next;
        ++events_;
      }
    }
  }
  void complain(const std::string& call, const Error& error) { problem_ = call + ": " + error.message; }

  std::string folder_;
  ReadMode mode_;
  const Ends& ends_;
  const std::atomic<std::uint64_t>& end_;
  std::mt19937 random_;
  std::uniform_int_distribution<std::uint64_t> stretch_{1, 3000};
  std::string problem_;
  std::uint64_t events_ = 0;
};

class LiveReading : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(SegmentSizes, LiveReading, ::testing::Values(32768, 262144),
                         [](const auto& size) { return std::to_string(size.param); });

TEST_P(LiveReading, ReadersThatSeekUnderAWriterFlatOutAlwaysReachTheEnd) {
  TemporaryFolder temporary;
  const std::string folder = temporary.path() + "/log";
  auto writer = begin(posix_file_system(), small_segments(GetParam()), folder);
  ASSERT_TRUE(writer);
  Ends ends;
  std::vector<Seeker> seekers;
  for (const ReadMode mode : {ReadMode::mapped, ReadMode::pread}) {
    for (const auto* end : {&ends.recorded, &ends.synced}) {
      seekers.emplace_back(folder, mode, ends, *end, static_cast<std::uint32_t>(seekers.size()));
    }
  }
  {
    std::vector<std::jthread> threads;
    for (Seeker& seeker : seekers) threads.emplace_back([&seeker] { seeker.run(); });
    std::mt19937 random(7);
    const std::uint64_t segments = 300;
    const std::uint64_t total = segments * GetParam() / frame_size(64);
    std::uint64_t written = 0;
    for (int i = 0; written < total; ++i) {
      const auto count = static_cast<std::uint32_t>(1 + random() % 40);
      ASSERT_TRUE(add(*writer, count));
      written += count;
      ends.recorded = writer->next_offset().value();
      if (random() % 8 == 0) {
        ASSERT_TRUE(writer->prepare_next_segment());
      }
      if (random() % 16 == 0) {
        ASSERT_TRUE(writer->sync());
        ends.synced = writer->synced_end().value();
      }
      if (random() % 64 == 0) {
        ASSERT_TRUE(writer->retain(8 * GetParam()));
      }
    }
    ASSERT_TRUE(writer->sync());
    ends.synced = writer->synced_end().value();
    ends.closed = true;
  }
  for (const Seeker& seeker : seekers) {
    EXPECT_EQ(seeker.problem(), "");
    EXPECT_GT(seeker.events(), 0u);
  }
}

}  // namespace
}  // namespace millrace::wal
