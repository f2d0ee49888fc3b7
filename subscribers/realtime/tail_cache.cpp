#include "subscribers/realtime/tail_cache.hpp"

#include <algorithm>

#include "bus/base/assert.hpp"

namespace millrace::gateway {

namespace {
// Single events that trickle in share blocks up to about this size; the cache forgets a block at a time.
constexpr std::size_t block_bytes = 32 * 1024;
}  // namespace

void TailCache::append(EventBlock block) {
  if (block.empty() || block.next() <= next_) return;
  block.drop_before(next_);
  if (block.first() > next_) blocks_.clear();
  next_ = block.next();
  if (!blocks_.empty() && blocks_.back().bytes() + block.bytes() <= block_bytes) {
    blocks_.back().append(block);
  } else {
    blocks_.push_back(std::move(block));
  }
  trim();
}

void TailCache::restart(Offset next) {
  blocks_.clear();
  next_ = next;
}

EventBlock& TailCache::block_of(Offset offset) {
  MILLRACE_ASSERT(first() <= offset && offset < next_, "only what is cached can be asked for");
  // The first block that begins behind the offset is the one after ours.
  const auto behind = std::upper_bound(blocks_.begin(), blocks_.end(), offset,
                                       [](Offset o, const EventBlock& block) { return o < block.first(); });
  return *std::prev(behind);
}

std::size_t TailCache::bytes() const {
  std::size_t sum = 0;
  for (const EventBlock& block : blocks_) sum += block.bytes();
  return sum;
}

void TailCache::trim() {
  std::size_t sum = bytes();
  // The newest block stays, however large: sessions at the head are served from it.
  while (blocks_.size() > 1 && (sum > bytes_max_ || events() > events_max_)) {
    sum -= blocks_.front().bytes();
    blocks_.pop_front();
  }
}

}  // namespace millrace::gateway
