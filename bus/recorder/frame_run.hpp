// Finds, in bytes that nobody vouches for, the run of frames that goes on where the log stands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bus/base/ids.hpp"

namespace millrace {

struct FrameRun {
  enum class Problem {
    none,
    sequence_error,  // a frame does not follow the one before
    malformed,       // bytes that are no frame
  };

  std::span<const std::byte> frames;  // whole frames, sequences ascending by one from `first`
  std::size_t begin = 0;              // where they begin in the bytes
  std::uint32_t count = 0;
  Sequence first;
  std::uint32_t duplicates = 0;  // frames before them that the log has
  Problem problem = Problem::none;
  Sequence found;  // with sequence_error: the sequence that was there instead

  [[nodiscard]] Sequence last() const { return Sequence(first.value() + count - 1); }
};

// `last`: the last sequence the log has. `may_skip`: the run may begin later than behind `last` (events were
// given up): then first > last + 1.
[[nodiscard]] FrameRun frame_run(std::span<const std::byte> bytes, Sequence last, bool may_skip);

}  // namespace millrace
