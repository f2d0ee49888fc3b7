#include "bus/ring/order_ring.hpp"

#include <bit>
#include <cstring>
#include <string>

#include "bus/base/assert.hpp"

namespace millrace::ring {

OrderWriter::OrderWriter(std::span<std::byte> memory, std::size_t capacity)
    : header_(reinterpret_cast<OrderHeader*>(memory.data())),
      slots_(reinterpret_cast<OrderSlot*>(memory.data() + sizeof(OrderHeader))),
      mask_(capacity - 1) {
  MILLRACE_ASSERT(std::has_single_bit(capacity) && memory.size() >= order_ring_bytes(capacity),
                  "an order ring's capacity is a power of two that fits its memory");
  header_->fixed.magic = order_magic;
  header_->fixed.version = layout_version;
  header_->fixed.capacity = capacity;
}

// A slot is a sequence lock made of atomics: its index is cleared first and set last, every store releases and every
// load acquires, so that a reader that saw any new field also sees that the index has changed.
void OrderWriter::append(const OrderEntry& entry) {
  constexpr auto release = std::memory_order_release;
  OrderSlot& slot = slots_[head_ & mask_];
  slot.index.store(0, release);
  slot.first_offset.store(entry.first_offset.value(), release);
  slot.first_sequence.store(entry.first_sequence.value(), release);
  slot.page.store(entry.page.value(), release);
  slot.record_time.store(static_cast<std::uint64_t>(entry.record_time.ns), release);
  slot.publisher_and_epoch.store(entry.publisher.value() << 40 | entry.epoch.value(), release);
  slot.stream_and_count.store(std::uint64_t{entry.stream} << 32 | entry.count, release);
  slot.begin_and_bytes.store(std::uint64_t{entry.begin} << 32 | entry.bytes, release);
  slot.index.store(++head_, release);
  header_->recorder.head.store(head_, release);
}

void OrderWriter::forget() {
  head_ += mask_ + 1;
  header_->recorder.head.store(head_, std::memory_order_release);
}

Result<OrderReader> OrderReader::attach(std::span<const std::byte> memory) {
  if (memory.size() < sizeof(OrderHeader)) return fail(ErrorCode::corrupt, "the order ring has no header");
  const auto* header = reinterpret_cast<const OrderHeader*>(memory.data());
  if (header->fixed.magic != order_magic || header->fixed.version != layout_version) {
    return fail(ErrorCode::unsupported, "not an order ring of layout version " + std::to_string(layout_version) +
                                            ": use the same millrace release on both sides");
  }
  const std::uint64_t capacity = header->fixed.capacity;
  if (!std::has_single_bit(capacity) || capacity > memory.size() || order_ring_bytes(capacity) > memory.size()) {
    return fail(ErrorCode::corrupt, "the order ring's header names a capacity that does not fit its memory");
  }
  return OrderReader(header, reinterpret_cast<const OrderSlot*>(memory.data() + sizeof(OrderHeader)), capacity - 1);
}

std::optional<OrderEntry> OrderReader::read(std::uint64_t index) const {
  constexpr auto acquire = std::memory_order_acquire;
  const OrderSlot& slot = slots_[index & mask_];
  if (slot.index.load(acquire) != index + 1) return std::nullopt;
  OrderEntry entry;
  entry.first_offset = Offset(slot.first_offset.load(acquire));
  entry.first_sequence = Sequence(slot.first_sequence.load(acquire));
  entry.page = PageNumber(slot.page.load(acquire));
  entry.record_time = {static_cast<std::int64_t>(slot.record_time.load(acquire))};
  const std::uint64_t publisher_and_epoch = slot.publisher_and_epoch.load(acquire);
  entry.publisher = PublisherId(publisher_and_epoch >> 40);
  entry.epoch = Epoch(publisher_and_epoch & ((1ull << 40) - 1));
  const std::uint64_t stream_and_count = slot.stream_and_count.load(acquire);
  entry.stream = static_cast<std::uint32_t>(stream_and_count >> 32);
  entry.count = static_cast<std::uint32_t>(stream_and_count);
  const std::uint64_t begin_and_bytes = slot.begin_and_bytes.load(acquire);
  entry.begin = static_cast<std::uint32_t>(begin_and_bytes >> 32);
  entry.bytes = static_cast<std::uint32_t>(begin_and_bytes);
  if (slot.index.load(acquire) != index + 1) return std::nullopt;
  return entry;
}

std::optional<std::uint64_t> OrderReader::find(Offset offset) const {
  const std::uint64_t head = this->head();
  std::uint64_t low = head > mask_ + 1 ? head - (mask_ + 1) : 0;
  std::uint64_t high = head;
  while (low < high) {  // the first entry that ends behind `offset`
    const std::uint64_t middle = low + (high - low) / 2;
    const auto entry = read(middle);
    // An overwritten entry is one of the oldest, so what is wanted lies behind it.
    if (!entry || entry->end_offset() <= offset) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == head) {
    if (head == 0) return head;
    // Where even the newest of them was overwritten meanwhile, nothing is known of what lies before `head`.
    const auto last = read(head - 1);
    return last && last->end_offset() <= offset ? std::optional(head) : std::nullopt;
  }
  const auto entry = read(low);
  if (!entry || entry->first_offset > offset) return std::nullopt;
  return low;
}

}  // namespace millrace::ring
