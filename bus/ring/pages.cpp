#include "bus/ring/pages.hpp"

#include <algorithm>

namespace millrace::ring {

Pages::Pages(Ring ring, std::uint32_t grant_ahead, StallPolicy policy)
    : directory_(ring.directory_size()),
      core_lines_(ring.slot_count()),
      ring_(ring),
      own_(ring.with_core_words(directory_.data(), &granted_word_, core_lines_.data())),
      grant_ahead_(grant_ahead),
      policy_(policy) {
  for (std::uint32_t slot = 0; slot < ring_.slot_count(); ++slot) free_.push_back(slot);
}

std::optional<std::uint32_t> Pages::slot_of(PageNumber page) const {
  return own_.slot_of(page, own_.entry(page).load(std::memory_order_relaxed));
}

void Pages::enter(PageNumber page, PageWord word) {
  for (const Ring* ring : {&own_, &ring_}) ring->entry(page).store(word.bits, std::memory_order_seq_cst);
}

void Pages::identify(PageNumber page, std::uint32_t slot) {
  // Nobody has had this page yet. What says so nevertheless a hostile publisher left, and would pass for this one's.
  for (Word* word : {&ring_.page_header(slot).publisher.commit, &ring_.core_line(slot).end}) {
    if (PageWord{word->load(std::memory_order_relaxed)}.page() == page) word->store(0, std::memory_order_relaxed);
  }
  for (const Ring* ring : {&own_, &ring_}) {
    PageCoreLine& line = ring->core_line(slot);
    line.page.store(page.value(), std::memory_order_relaxed);
    line.publisher.store(publisher_.value(), std::memory_order_relaxed);
    line.epoch.store(epoch_.value(), std::memory_order_relaxed);
  }
}

void Pages::assign(PublisherId publisher, Epoch epoch) {
  publisher_ = publisher;
  epoch_ = epoch;
  assigned_ = true;
  // The one before may have written into these.
  for (std::uint64_t i = 0; i < directory_.size(); ++i) {
    ring_.entry(PageNumber(i)).store(directory_[i].load(std::memory_order_relaxed), std::memory_order_seq_cst);
  }
  ring_.header().core.granted.store(granted_.value(), std::memory_order_release);
  do_work();
}

void Pages::close() {
  if (!assigned_) return;
  assigned_ = false;
  follow_tail();
  // Those before the last are finished, unless a hostile publisher took that back: who reads them must come to their
  // end.
  for (PageNumber page = oldest_; page <= granted_; ++page) end(page);
  // Those behind are given out anew under other numbers: who was led to believe that they had begun must not take up
  // another publisher's in the middle.
  for (PageNumber page = tail_.next(); page <= granted_; ++page) {
    if (const auto slot = slot_of(page)) {
      enter(page, PageWord());
      pinned_.push_back({page, *slot});
    }
  }
  tail_ = granted_.next();
}

void Pages::end(PageNumber page) {
  const auto slot = slot_of(page);
  if (!slot) return;
  const PageWord end = PageWord::make(page, own_.extent(page, *slot).bytes, true);
  for (const Ring* ring : {&own_, &ring_}) ring->core_line(*slot).end.store(end.bits, std::memory_order_release);
}

void Pages::follow_tail() {
  while (tail_ <= granted_) {
    const auto slot = slot_of(tail_);
    if (!slot || !own_.extent(tail_, *slot).finished) return;
    tail_ = tail_.next();
  }
}

std::uint64_t Pages::committed() const {
  const auto slot = tail_ <= granted_ ? slot_of(tail_) : std::nullopt;
  return PageWord::make(tail_, slot ? own_.extent(tail_, *slot).bytes : 0).bits;
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
    enter(page, PageWord::make(page, *slot));
    granted_word_.store(page.value(), std::memory_order_release);
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
    enter(page, PageWord());
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
