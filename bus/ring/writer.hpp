// The publisher's side of a ring: claim room for an event, fill it, commit it. No syscall, no lock, no other thread's
// word is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "bus/base/clock.hpp"
#include "bus/base/frame.hpp"
#include "bus/ring/ring.hpp"

namespace millrace::ring {

enum class ClaimStatus {
  ok,
  back_pressured,  // the core has granted no further page: try again, nothing was published
  too_large,       // the event, or the batch with it, exceeds a page
};

// What the publisher says of an event besides its payload.
struct EventInfo {
  EventTypeId event_type{};
  Key key;
  std::uint64_t cause = 0;  // offset + 1 of the input event, 0 if none
  WallTime publish_time;
  std::uint16_t cause_index = 0;  // among the events of that input in this topic
};

class Writer {
 public:
  // Begins in `first_page`, which the core has granted or will grant, with `next` as the next sequence. One thread.
  Writer(Ring ring, PageNumber first_page, Sequence next);

  struct Claim {
    ClaimStatus status = ClaimStatus::back_pressured;
    std::span<std::byte> payload;  // 8-byte aligned, in the page; what an aborted event left there may still be seen
  };
  // Room for a payload of `size` bytes. At most one claim is open; claiming again replaces it.
  [[nodiscard]] Claim claim(std::size_t size) {
    const std::size_t need = frame_size(size);
    if (filled_ + need > capacity_ || frames_ == nullptr) {
      if (const ClaimStatus status = make_room(need); status != ClaimStatus::ok) return {status, {}};
    }
    claimed_ = size;
    own_ahead(need);
    return {ClaimStatus::ok, {frames_ + filled_ + frame_header_size, size}};
  }

  // Publishes the claimed event, its first `size` bytes; inside a batch, together with the batch. The bytes behind
  // are padding and are zeroed. Returns its sequence.
  Sequence commit(const EventInfo& info, std::size_t size);
  Sequence commit(const EventInfo& info) { return commit(info, claimed_); }
  // Forgets the claim; its sequence is not used.
  void abort() { claimed_ = 0; }

  // Events committed between begin and end become visible by one store, and are recorded all or none.
  void begin_batch() { in_batch_ = true; }
  void end_batch();
  void abort_batch();  // none of them was published

  // The frames of the open batch, not yet published, and the sequence of the first.
  [[nodiscard]] std::span<const std::byte> batched() const { return {frames_ + committed_, filled_ - committed_}; }
  [[nodiscard]] Sequence batch_first() const { return batch_first_; }

  // Leaves out sequences: the next event has `next`. Only where events were lost for good; not inside a batch.
  void skip_to(Sequence next) { next_ = batch_first_ = next; }

  [[nodiscard]] Sequence next_sequence() const { return next_; }
  [[nodiscard]] PageNumber page() const { return page_; }
  [[nodiscard]] const Ring& ring() const { return ring_; }
  [[nodiscard]] RingPublisherLine& line() const { return ring_.header().publisher; }

 private:
  static constexpr std::size_t own_ahead_bytes = 2048;

  [[nodiscard]] ClaimStatus make_room(std::size_t need);
  [[nodiscard]] bool enter(PageNumber page);
  void publish();  // the release store
  // Readers have had the lines that come next, when the page was last round: each would be fetched from another core
  // as it is written, and the commit wait for it. Asked for a few frames ahead, they are here. (The builtin prefetches
  // for reading where the instruction set is not given; processors without prefetchw do nothing.)
  void own_ahead(std::size_t need) const {
    if (filled_ + own_ahead_bytes + need > capacity_) return;
    const std::byte* const ahead = frames_ + filled_ + own_ahead_bytes;
    for (std::size_t at = 0; at < need; at += limits::cache_line) asm volatile("prefetchw %0" : : "m"(ahead[at]));
  }

  Ring ring_;
  std::byte* frames_ = nullptr;  // of the current page; null until its grant was seen
  PageHeader* header_ = nullptr;
  std::size_t capacity_;
  std::size_t filled_ = 0;     // bytes of frames in the page, those of an open batch included
  std::size_t committed_ = 0;  // bytes that readers may see
  std::size_t claimed_ = 0;
  PageNumber page_;
  Sequence next_;
  Sequence batch_first_;  // sequence of the first event not yet published
  bool in_batch_ = false;
};

inline void Writer::publish() {
  committed_ = filled_;
  batch_first_ = next_;
  header_->publisher.commit.store(PageWord::make(page_, committed_).bits, std::memory_order_release);
}

inline Sequence Writer::commit(const EventInfo& info, std::size_t size) {
  std::byte* at = frames_ + filled_;

  const std::size_t padded = frame_size(size);
  for (std::size_t i = frame_header_size + size; i < padded; ++i) at[i] = std::byte{0};
  auto& frame = *reinterpret_cast<FrameHeader*>(at);
  frame.length = static_cast<std::uint32_t>(frame_header_size + size);
  frame.event_type = static_cast<std::uint16_t>(info.event_type);
  frame.cause_index = info.cause_index;
  frame.sequence = next_.value();
  frame.publish_time = info.publish_time.ns;
  frame.key = info.key.value();
  frame.cause = info.cause;
  filled_ += padded;
  const Sequence sequence = next_;
  ++next_;
  if (!in_batch_) publish();
  return sequence;
}

}  // namespace millrace::ring
