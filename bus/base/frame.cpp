#include "bus/base/frame.hpp"

#include <cstddef>

namespace millrace {

// The layout is written to disk: see frame_test.cpp before changing any of this.
static_assert(sizeof(FrameHeader) == 40 && alignof(FrameHeader) == 8);
static_assert(offsetof(FrameHeader, event_type) == 4 && offsetof(FrameHeader, cause_index) == 6);
static_assert(offsetof(FrameHeader, sequence) == 8 && offsetof(FrameHeader, publish_time) == 16);
static_assert(offsetof(FrameHeader, key) == 24 && offsetof(FrameHeader, cause) == 32);

}  // namespace millrace
