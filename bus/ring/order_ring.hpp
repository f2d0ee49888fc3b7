// The order ring of a topic: one small entry for each batch the recorder wrote, in log order. A follower walks it and
// reads the frames where they lie, in the publishers' pages. Written by the recorder, mapped read-only by everybody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "bus/ring/layout.hpp"

namespace millrace::ring {

// A batch of the log: frames of one publisher that lie together in one page.
struct OrderEntry {
  Offset first_offset;
  Sequence first_sequence;
  PageNumber page;
  WallTime record_time;
  PublisherId publisher;
  Epoch epoch;
  std::uint32_t stream = 0;  // index of the ring in the topic
  std::uint32_t count = 0;   // events
  std::uint32_t begin = 0;   // first byte within the page's frames
  std::uint32_t bytes = 0;

  [[nodiscard]] Offset end_offset() const { return first_offset + count; }
  auto operator<=>(const OrderEntry&) const = default;
};

// As it lies in memory. `index` is that of the entry + 1, or 0 while it is being overwritten.
struct alignas(limits::cache_line) OrderSlot {
  Word index;
  Word first_offset;
  Word first_sequence;
  Word page;
  Word record_time;
  Word publisher_and_epoch;  // publisher in the upper 24 bits
  Word stream_and_count;     // stream in the upper 32 bits
  Word begin_and_bytes;      // begin in the upper 32 bits
};

struct OrderHeader {
  struct alignas(limits::cache_line) {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint64_t capacity;  // slots, a power of two
  } fixed;
  struct alignas(limits::cache_line) {
    Word head;  // entries written so far
  } recorder;
};

inline constexpr std::uint32_t order_magic = 0x44524f4d;  // "MORD"

[[nodiscard]] constexpr std::size_t order_ring_bytes(std::size_t capacity) {
  return sizeof(OrderHeader) + capacity * sizeof(OrderSlot);
}

class OrderWriter {
 public:
  // `memory`: zeroed, order_ring_bytes(capacity) of it, `capacity` a power of two.
  OrderWriter(std::span<std::byte> memory, std::size_t capacity);
  void append(const OrderEntry& entry);
  // All entries count as overwritten: their offsets are given out again.
  void forget();

 private:
  OrderHeader* header_;
  OrderSlot* slots_;
  std::uint64_t mask_;
  std::uint64_t head_ = 0;
};

class OrderReader {
 public:
  // Errors: unsupported or corrupt, if `memory` is no order ring.
  [[nodiscard]] static Result<OrderReader> attach(std::span<const std::byte> memory);

  // Index behind the newest entry; acquires what it counts.
  [[nodiscard]] std::uint64_t head() const { return header_->recorder.head.load(std::memory_order_acquire); }
  // The entry, or nullopt if it has been overwritten (or is not yet written).
  [[nodiscard]] std::optional<OrderEntry> read(std::uint64_t index) const;
  // Index of the entry that holds `offset`; head() if it is not yet recorded; nullopt if its entry is overwritten.
  [[nodiscard]] std::optional<std::uint64_t> find(Offset offset) const;

 private:
  OrderReader(const OrderHeader* header, const OrderSlot* slots, std::uint64_t mask)
      : header_(header), slots_(slots), mask_(mask) {}

  const OrderHeader* header_;
  const OrderSlot* slots_;
  std::uint64_t mask_;
};

}  // namespace millrace::ring
