#include "bus/recorder/frame_run.hpp"

#include "bus/base/frame.hpp"

namespace millrace {

FrameRun frame_run(std::span<const std::byte> bytes, Sequence last, bool may_skip) {
  FrameRun run;
  std::size_t end = 0;
  FrameCursor cursor(bytes);
  while (const auto frame = cursor.next()) {
    const Sequence sequence = frame->sequence();
    if (run.count == 0 && sequence <= last) {
      run.begin = end += frame->size();
      ++run.duplicates;
      continue;
    }
    if (run.count == 0) run.first = may_skip ? sequence : last.next();
    if (sequence != run.first + run.count) {
      run.problem = FrameRun::Problem::sequence_error;
      run.found = sequence;
      break;
    }
    ++run.count;
    end += frame->size();
  }
  if (cursor.malformed()) run.problem = FrameRun::Problem::malformed;
  run.frames = bytes.subspan(run.begin, end - run.begin);
  return run;
}

}  // namespace millrace
