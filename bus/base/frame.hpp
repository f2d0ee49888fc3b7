// A frame: one event as it lies in a page and, byte for byte the same, in a batch of the log.
//
//   offset  size  field
//        0     4  length        bytes of header and payload, without the padding to 8
//        4     2  event_type    number in the event registry (schemas/registry.hpp)
//        6     2  cause_index   which of the events of its cause in this topic, from 0; 65535: that or a later one
//        8     8  sequence      of its publisher in this topic, from 1, gapless
//       16     8  publish_time  wall-clock nanoseconds
//       24     8  key           key_of(instrument or account), 0 if the event has none
//       32     8  cause         offset + 1 of the input event that led to this one, 0 if none
//       40     n  payload       a finished FlatBuffer, 8-byte aligned
//
// Everything is little-endian. Frames follow each other, each padded with zeros to a multiple of 8.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"

namespace millrace {

static_assert(std::endian::native == std::endian::little, "wire structs are stored as they lie in memory");

// Number of an event type in the registry. Below 1000 millrace's own; from 1000 upward a user's schema.
enum class EventTypeId : std::uint16_t {};

struct FrameHeader {
  std::uint32_t length;
  std::uint16_t event_type;
  std::uint16_t cause_index;
  std::uint64_t sequence;
  std::int64_t publish_time;
  std::uint64_t key;
  std::uint64_t cause;
};

// The input event that led to an event, and which of the events it led to in that topic: 0, 1, 2 ...
struct Cause {
  static constexpr std::uint16_t index_max = UINT16_MAX;  // stands for itself and all behind it

  // NOLINTNEXTLINE(google-explicit-constructor): mostly an offset says it all, the first event it led to
  constexpr Cause(Offset input, std::uint16_t at = 0) : offset(input), index(at) {}

  bool operator==(const Cause&) const = default;

  Offset offset;
  std::uint16_t index;
};

inline constexpr std::size_t frame_alignment = 8;
inline constexpr std::size_t frame_header_size = sizeof(FrameHeader);

// Bytes that a frame with `payload_size` bytes of payload takes, padding included.
[[nodiscard]] constexpr std::size_t frame_size(std::size_t payload_size) {
  return (frame_header_size + payload_size + frame_alignment - 1) / frame_alignment * frame_alignment;
}

// A frame somewhere in memory; valid as long as that memory is (a polled event: until the next poll). Keeps the length
// it was made with: a hostile publisher may change its page while it is read.
class FrameView {
 public:
  // `at` points to a whole, 8-byte aligned frame: see FrameCursor for bytes that are not trusted.
  explicit FrameView(const std::byte* at) : FrameView(at, reinterpret_cast<const FrameHeader*>(at)->length) {}

  // Its `length` is not to be believed: see size() and payload().
  [[nodiscard]] const FrameHeader& header() const { return *reinterpret_cast<const FrameHeader*>(at_); }
  [[nodiscard]] EventTypeId event_type() const { return EventTypeId{header().event_type}; }
  [[nodiscard]] Sequence sequence() const { return Sequence(header().sequence); }
  [[nodiscard]] WallTime publish_time() const { return {header().publish_time}; }
  [[nodiscard]] Key key() const { return Key(header().key); }
  // The offset of the input event that led to this one.
  [[nodiscard]] std::optional<Offset> cause() const {
    return header().cause == 0 ? std::nullopt : std::optional(Offset(header().cause - 1));
  }
  [[nodiscard]] std::uint16_t cause_index() const { return header().cause_index; }  // 0 if there is no cause
  [[nodiscard]] std::span<const std::byte> payload() const {
    return {at_ + frame_header_size, length_ - frame_header_size};
  }
  [[nodiscard]] std::size_t size() const { return frame_size(length_ - frame_header_size); }  // with padding
  [[nodiscard]] std::span<const std::byte> bytes() const { return {at_, size()}; }

 private:
  friend class FrameCursor;
  FrameView(const std::byte* at, std::uint32_t length) : at_(at), length_(length) {}

  const std::byte* at_;
  std::uint32_t length_;
};

// Walks the frames in `bytes`, believing no length: stops, and says so, where a frame would not fit.
class FrameCursor {
 public:
  explicit FrameCursor(std::span<const std::byte> bytes) : rest_(bytes) {}

  // The next frame, or nullopt at the end or at a malformed one.
  [[nodiscard]] std::optional<FrameView> next() {
    if (rest_.size() < frame_header_size) return malformed_ = malformed_ || !rest_.empty(), std::nullopt;
    // Volatile: read once, so that what is checked is what is used.
    const std::uint32_t length = *reinterpret_cast<const volatile std::uint32_t*>(rest_.data());
    if (length < frame_header_size || length > rest_.size()) return malformed_ = true, std::nullopt;
    const std::size_t size = frame_size(length - frame_header_size);
    if (size > rest_.size()) return malformed_ = true, std::nullopt;
    const FrameView frame(rest_.data(), length);
    rest_ = rest_.subspan(size);
    return frame;
  }
  [[nodiscard]] bool malformed() const { return malformed_; }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }

 private:
  std::span<const std::byte> rest_;
  bool malformed_ = false;
};

}  // namespace millrace
