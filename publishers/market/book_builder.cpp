#include "publishers/market/book_builder.hpp"

#include <utility>

namespace millrace::market {

Status BookBuilder::offer(BookUpdate update) {
  if (update.snapshot) {
    std::erase_if(waiting_, [&](const BookUpdate& held) { return held.last <= update.last; });
    waiting_.push_front(std::move(update));
    synced_ = true;
    return {};
  }
  if (!synced_ && update.last == VenueNumber{}) {
    return fail(ErrorCode::invalid_argument, "an update of " + update.instrument + " comes before its snapshot");
  }
  if (!synced_ && waiting_.size() >= held_back_max) {
    return fail(ErrorCode::exhausted, "no snapshot of " + update.instrument + " after " +
                                          std::to_string(held_back_max) + " updates; fetch one");
  }
  waiting_.push_back(std::move(update));
  return {};
}

Result<const BookUpdate*> BookBuilder::advance() {
  if (!synced_) return nullptr;
  while (!waiting_.empty()) {
    BookUpdate next = std::move(waiting_.front());
    waiting_.pop_front();
    if (!next.snapshot && next.last != VenueNumber{}) {
      if (next.last <= applied_.last) continue;
      // Right after a snapshot an update may begin before it and reach beyond it.
      const bool by_range = applied_.snapshot || next.previous == VenueNumber{};
      const bool follows = by_range ? next.first <= applied_.last.next() : next.previous == applied_.last;
      const bool overlaps = !applied_.snapshot && next.first <= applied_.last;
      if (!follows || overlaps) {
        return fail(ErrorCode::sequence_error, next.instrument + ": update " + std::to_string(next.first.value()) +
                                                   " does not follow " + std::to_string(applied_.last.value()) +
                                                   "; a new snapshot is needed");
      }
    }
    apply(next);
    applied_ = std::move(next);
    return &applied_;
  }
  return nullptr;
}

void BookBuilder::apply(const BookUpdate& update) {
  if (update.snapshot) book_.clear();
  for (const auto& level : update.bids) book_.set(Side::buy, level);
  for (const auto& level : update.asks) book_.set(Side::sell, level);
}

}  // namespace millrace::market
