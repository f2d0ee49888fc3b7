// Proves which frames of a page go into the log: those that follow what it has, nothing twice, nothing out of order,
// and nothing that is no frame.
#include "bus/recorder/frame_run.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <vector>

#include "bus/base/frame.hpp"

namespace millrace {
namespace {

std::vector<std::byte> frames(std::initializer_list<std::uint64_t> sequences) {
  std::vector<std::byte> bytes;
  for (const std::uint64_t sequence : sequences) {
    FrameHeader header{};
    header.length = frame_header_size + 8;
    header.sequence = sequence;
    bytes.resize(bytes.size() + 48);
    std::memcpy(bytes.data() + bytes.size() - 48, &header, sizeof header);
  }
  return bytes;
}

TEST(FrameRun, TakesAllThatFollows) {
  const auto bytes = frames({4, 5, 6});
  const FrameRun run = frame_run(bytes, Sequence(3), false);
  EXPECT_EQ(run.count, 3u);
  EXPECT_EQ(run.first, Sequence(4));
  EXPECT_EQ(run.last(), Sequence(6));
  EXPECT_EQ(run.frames.size(), bytes.size());
  EXPECT_EQ(run.problem, FrameRun::Problem::none);
}

TEST(FrameRun, LeavesOutWhatTheLogHas) {
  const auto bytes = frames({4, 5, 6});
  const FrameRun run = frame_run(bytes, Sequence(5), false);
  EXPECT_EQ(run.duplicates, 2u);
  EXPECT_EQ(run.begin, 96u);
  EXPECT_EQ(run.count, 1u);
  EXPECT_EQ(frame_run(bytes, Sequence(6), false).count, 0u);
}

TEST(FrameRun, StopsWhereASequenceDoesNotFollow) {
  const auto bytes = frames({4, 5, 7});
  const FrameRun run = frame_run(bytes, Sequence(3), false);
  EXPECT_EQ(run.count, 2u);
  EXPECT_EQ(run.problem, FrameRun::Problem::sequence_error);
  EXPECT_EQ(run.found, Sequence(7));
  EXPECT_EQ(frame_run(frames({9}), Sequence(3), false).problem, FrameRun::Problem::sequence_error);
  EXPECT_EQ(frame_run(frames({4, 4}), Sequence(3), false).problem, FrameRun::Problem::sequence_error);
}

TEST(FrameRun, MayBeginLaterWhereEventsWereGivenUp) {
  const auto bytes = frames({9, 10});
  const FrameRun run = frame_run(bytes, Sequence(3), true);
  EXPECT_EQ(run.first, Sequence(9));
  EXPECT_EQ(run.count, 2u);
  EXPECT_EQ(run.problem, FrameRun::Problem::none);
}

TEST(FrameRun, KeepsTheGoodFramesBeforeAMalformedOne) {
  auto bytes = frames({4, 5});
  bytes.resize(bytes.size() + 16);
  const FrameRun run = frame_run(bytes, Sequence(3), false);
  EXPECT_EQ(run.count, 2u);
  EXPECT_EQ(run.frames.size(), 96u);
  EXPECT_EQ(run.problem, FrameRun::Problem::malformed);
}

}  // namespace
}  // namespace millrace
