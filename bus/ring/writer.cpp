#include "bus/ring/writer.hpp"

#include <cstring>

namespace millrace::ring {

Writer::Writer(Ring ring, PageNumber first_page, Sequence next)
    : ring_(ring), capacity_(ring.page_capacity()), page_(first_page), next_(next), batch_first_(next) {
  (void)enter(first_page);
}

bool Writer::enter(PageNumber page) {
  const auto slot = ring_.slot_of(page, ring_.entry(page).load(std::memory_order_acquire));
  if (!slot) return false;
  header_ = &ring_.page_header(*slot);
  frames_ = ring_.frames(*slot);
  page_ = page;
  filled_ = committed_ = 0;
  line().current_page.store(page.value(), std::memory_order_release);
  return true;
}

ClaimStatus Writer::make_room(std::size_t need) {
  const std::size_t pending = filled_ - committed_;  // an open batch moves on whole
  if (pending + need > capacity_) return ClaimStatus::too_large;
  if (frames_ == nullptr) return enter(page_) ? ClaimStatus::ok : ClaimStatus::back_pressured;

  PageHeader* const old_header = header_;
  const std::byte* const moving = frames_ + committed_;
  const PageWord sealed = PageWord::make(page_, committed_, true);
  if (!enter(page_.next())) return ClaimStatus::back_pressured;
  std::memcpy(frames_, moving, pending);
  filled_ = pending;
  old_header->publisher.commit.store(sealed.bits, std::memory_order_release);
  return ClaimStatus::ok;
}

void Writer::end_batch() {
  in_batch_ = false;
  if (filled_ > committed_) publish();
}

void Writer::abort_batch() {
  in_batch_ = false;
  filled_ = committed_;
  next_ = batch_first_;
}

}  // namespace millrace::ring
