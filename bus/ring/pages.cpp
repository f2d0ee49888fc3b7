#include "bus/ring/pages.hpp"

#include <algorithm>

#include "bus/base/assert.hpp"

namespace millrace::ring {

Pages::Pages(Ring ring, std::uint32_t grant_ahead, StallPolicy policy)
    : ring_(ring), grant_ahead_(grant_ahead), policy_(policy) {
  for (std::uint32_t slot = 0; slot < ring_.slot_count(); ++slot) free_.push_back(slot);
}

std::optional<std::uint32_t> Pages::slot_of(PageNumber page) const {
  return ring_.slot_of(page, ring_.entry(page).load(std::memory_order_relaxed));
}

void Pages::identify(PageNumber page, std::uint32_t slot) {
  PageCoreLine& line = ring_.page_header(slot).core;
  line.page.store(page.value(), std::memory_order_relaxed);
  line.publisher.store(publisher_.value(), std::memory_order_relaxed);
  line.epoch.store(epoch_.value(), std::memory_order_relaxed);
}

void Pages::assign(PublisherId publisher, Epoch epoch) {
  publisher_ = publisher;
  epoch_ = epoch;
  assigned_ = true;
  for (PageNumber page = tail_; page <= granted_; ++page) {
    const auto slot = slot_of(page);
    MILLRACE_ASSERT(slot, "a granted page that was not begun is in the directory");
    identify(page, *slot);
  }
  do_work();
}

void Pages::close() {
  follow_tail();
  if (!assigned_ || tail_ > granted_) return;
  const auto slot = slot_of(tail_);
  MILLRACE_ASSERT(slot, "the publisher's page is in the directory");
  const std::uint32_t bytes = ring_.extent(tail_, *slot).bytes;
  ring_.page_header(*slot).core.end.store(PageWord::make(tail_, bytes, true).bits, std::memory_order_release);
  tail_ = tail_.next();
  assigned_ = false;
}

void Pages::follow_tail() {
  while (tail_ <= granted_) {
    const auto slot = slot_of(tail_);
    if (!slot || !ring_.extent(tail_, *slot).finished) return;
    tail_ = tail_.next();
  }
}

std::uint64_t Pages::committed() const {
  const auto slot = tail_ <= granted_ ? slot_of(tail_) : std::nullopt;
  return PageWord::make(tail_, slot ? ring_.extent(tail_, *slot).bytes : 0).bits;
}

std::uint64_t Pages::do_work() {
  if (!assigned_) return 0;
  follow_tail();
  std::uint64_t count = 0;
  while (granted_ < tail_ + grant_ahead_) {
    const auto slot = take_slot();
    if (!slot) break;
    const PageNumber page = granted_.next();
    identify(page, *slot);
    ring_.entry(page).store(PageWord::make(page, *slot).bits, std::memory_order_seq_cst);
    ring_.header().core.granted.store(page.value(), std::memory_order_release);
    granted_ = page;
    ++count;
  }
  return count;
}

std::optional<std::uint32_t> Pages::take_slot() {
  for (auto it = pinned_.begin(); it != pinned_.end();) {
    if (leased(it->page)) {
      ++it;
      continue;
    }
    free_.push_back(it->slot);
    it = pinned_.erase(it);
  }
  if (!free_.empty()) {
    const std::uint32_t slot = free_.front();
    free_.pop_front();
    return slot;
  }
  const PageNumber held(held_from_.load(std::memory_order_acquire));
  if (const auto slot = withdraw_oldest(std::min(held, tail_))) return slot;
  if (policy_ != StallPolicy::live_only) return std::nullopt;
  const auto slot = withdraw_oldest(tail_);
  if (slot) ++recycled_unsynced_;
  return slot;
}

// The oldest page below `below` that nobody leases; older ones that are leased are withdrawn on the way.
std::optional<std::uint32_t> Pages::withdraw_oldest(PageNumber below) {
  while (oldest_ < below) {
    const PageNumber page = oldest_;
    oldest_ = oldest_.next();
    const auto slot = slot_of(page);
    if (!slot) continue;
    ring_.entry(page).store(0, std::memory_order_seq_cst);
    if (!leased(page)) return slot;
    pinned_.push_back({page, *slot});
  }
  return std::nullopt;
}

bool Pages::leased(PageNumber page) const {
  return std::any_of(leases_.begin(), leases_.end(),
                     [page](const Word* lease) { return lease->load(std::memory_order_seq_cst) == page.value(); });
}

}  // namespace millrace::ring
