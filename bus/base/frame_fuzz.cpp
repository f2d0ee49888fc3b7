// Walks any bytes as frames: every frame handed out lies whole, aligned and in order in the bytes, and the walk ends at
// their end or at a malformed frame.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bus/base/assert.hpp"
#include "bus/base/frame.hpp"

namespace {
volatile std::byte touched;  // so that reading the payload is not optimized away
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // In an allocation of their own that ends where the bytes do, so that the sanitizer sees reads beyond.
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);

  millrace::FrameCursor cursor(bytes);
  std::size_t walked = 0;
  while (const auto frame = cursor.next()) {
    MILLRACE_ASSERT(frame->bytes().data() == bytes.data() + walked, "frames follow each other");
    MILLRACE_ASSERT(walked % millrace::frame_alignment == 0, "frames are aligned");
    walked += frame->size();
    MILLRACE_ASSERT(walked <= bytes.size(), "a frame ends within the bytes");
    MILLRACE_ASSERT(frame->payload().data() + frame->payload().size() <= bytes.data() + walked, "so does its payload");
    std::byte sum{};
    for (const std::byte byte : frame->payload()) sum ^= byte;
    touched = sum;
  }
  MILLRACE_ASSERT(cursor.malformed() == (walked < bytes.size()), "stops early only at a malformed frame");
  return 0;
}
