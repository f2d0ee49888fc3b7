#include "bus/reoffer.hpp"

#include <algorithm>
#include <cstring>

#include "bus/base/frame.hpp"

namespace millrace {
namespace {

using ring::ClaimStatus;

// Offers one frame inside an open batch. A batch that outgrows the page (pages are smaller now) is cut.
ClaimStatus offer(ring::Writer& into, const FrameView& frame) {
  auto claim = into.claim(frame.payload().size());
  if (claim.status == ClaimStatus::too_large) {
    into.end_batch();
    into.begin_batch();
    claim = into.claim(frame.payload().size());
  }
  if (claim.status != ClaimStatus::ok) return claim.status;
  std::memcpy(claim.payload.data(), frame.payload().data(), frame.payload().size());
  into.commit({frame.event_type(), frame.key(), frame.header().cause, frame.publish_time(), frame.cause_index()});
  return ClaimStatus::ok;
}

}  // namespace

bool Reoffer::run(ring::Writer& into) {
  const ring::Ring& ring = old_->ring;
  for (const PageNumber page : ring.listed()) {
    if (page <= done_) continue;
    const auto slot = ring.slot_of(page, ring.entry(page).load(std::memory_order_acquire));
    if (!slot || PublisherId(ring.core_line(*slot).publisher.load()) != old_->publisher) continue;
    into.begin_batch();
    FrameCursor cursor({ring.frames(*slot), ring.extent(page, *slot).bytes});
    while (const auto frame = cursor.next()) {
      if (frame->sequence() < into.next_sequence()) continue;
      if (frame->sequence() >= end_) break;
      if (frame->sequence() > into.next_sequence()) {
        into.end_batch();
        into.skip_to(frame->sequence());
        into.begin_batch();
      }
      if (offer(into, *frame) == ClaimStatus::back_pressured) {
        into.abort_batch();
        return false;
      }
    }
    into.end_batch();
    done_ = page;
  }
  if (into.next_sequence() < end_) into.skip_to(end_);
  if (batched_.empty()) return true;
  into.begin_batch();
  FrameCursor cursor(batched_);
  while (const auto frame = cursor.next()) {
    if (offer(into, *frame) == ClaimStatus::back_pressured) {
      into.abort_batch();
      return false;
    }
  }
  return true;
}

}  // namespace millrace
