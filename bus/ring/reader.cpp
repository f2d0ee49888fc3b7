#include "bus/ring/reader.hpp"

#include <algorithm>

namespace millrace::ring {

bool Reader::lease(PageNumber page) {
  lease_->store(page.value(), std::memory_order_seq_cst);
  slot_ = ring_.slot_of(page, ring_.entry(page).load(std::memory_order_seq_cst));
  if (!slot_) return false;
  page_ = page;
  consumed_ = 0;
  return true;
}

void Reader::release() {
  slot_.reset();
  lease_->store(0, std::memory_order_release);
}

bool Reader::go_to(PageNumber page, std::uint32_t begin) {
  if (slot_ && page_ == page) {
    consumed_ = begin;
    return true;
  }
  if (!lease(page)) return release(), false;
  consumed_ = begin;
  return true;
}

// Goes through the directory once at most: a publisher that rewrites it all the time must not hold a reader here.
std::span<const std::byte> Reader::available() {
  if (page_ == PageNumber()) join_at_oldest();
  for (std::uint64_t steps = 0; steps <= ring_.directory_size(); ++steps) {
    if (slot_) {
      Ring::Extent extent = ring_.extent(page_, *slot_);
      if (extent.bytes > consumed_) return {ring_.frames(*slot_) + consumed_, extent.bytes - consumed_};
      if (!extent.finished) {
        if (ring_.slot_of(page_, ring_.entry(page_).load(std::memory_order_acquire)) == slot_) return {};
        // Withdrawn, so it was finished in between; if not, a false directory led here, where it would wait for ever.
        extent = ring_.extent(page_, *slot_);
        if (extent.bytes > consumed_) continue;
      }
      if (extent.finished) page_ = page_.next();
      slot_.reset();
    }
    // `granted` is read before the directory: a page counted in it was entered there before, so if it is not there
    // now it was withdrawn.
    const PageNumber granted = ring_.granted();
    if (page_ > granted) {
      // Further than one page ahead a false directory has led it: another publisher may come, and begin before.
      if (page_ != granted.next()) join_at_oldest();
      return {};
    }
    if (lease(page_)) continue;
    ++laps_;
    const auto oldest = oldest_from(page_.next());
    page_ = oldest.value_or(granted.next());
  }
  return {};
}

std::optional<PageNumber> Reader::oldest_from(PageNumber page) const {
  std::optional<PageNumber> oldest;
  for (std::uint64_t i = 0; i < ring_.directory_size(); ++i) {
    const PageNumber candidate = PageWord{ring_.entry(PageNumber(i)).load(std::memory_order_acquire)}.page();
    if (candidate >= page && candidate > PageNumber() && (!oldest || candidate < *oldest)) oldest = candidate;
  }
  return oldest;
}

void Reader::join_at_oldest() {
  slot_.reset();
  page_ = oldest_from(PageNumber(1)).value_or(PageNumber(1));
}

void Reader::join_at_tail() {
  for (std::uint64_t tries = 0; tries < ring_.directory_size(); ++tries) {
    const PageNumber current(ring_.header().publisher.current_page.load(std::memory_order_acquire));
    page_ = std::max(current, PageNumber(1));
    slot_.reset();
    if (lease(page_)) {
      consumed_ = ring_.extent(page_, *slot_).bytes;
      return;
    }
    // Not yet granted (nobody has published), or recycled since: the publisher has moved on.
    if (ring_.granted() < page_) return;
    if (PageNumber(ring_.header().publisher.current_page.load(std::memory_order_acquire)) == current) break;
  }
  join_at_oldest();  // the publisher's hint is stale or false
}

PublisherId Reader::publisher() const {
  return PublisherId(slot_ ? ring_.core_line(*slot_).publisher.load(std::memory_order_relaxed) : 0);
}

Epoch Reader::epoch() const {
  return Epoch(slot_ ? ring_.core_line(*slot_).epoch.load(std::memory_order_relaxed) : 0);
}

}  // namespace millrace::ring
