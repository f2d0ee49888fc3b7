// A topic's latest events, shared by all sessions. A subscription is a cursor into it; one whose cursor has been
// overtaken reads the log until it is back in here. The network's thread only.
#pragma once

#include <cstddef>
#include <deque>

#include "bus/base/ids.hpp"
#include "subscribers/realtime/event_block.hpp"

namespace millrace::gateway {

class TailCache {
 public:
  // `next`: the first event it will be given, if nothing was missed by then.
  TailCache(Offset next, std::size_t bytes_max, std::size_t events_max)
      : next_(next), bytes_max_(bytes_max), events_max_(events_max) {}

  // Events that it has already are ignored; after a gap it keeps what comes now and forgets what was before, so that
  // those who were before read the gap from the log.
  void append(EventBlock block);
  // Offsets from `next` on are given out again: forgets all, and goes on from there.
  void restart(Offset next);

  [[nodiscard]] Offset next() const { return next_; }
  [[nodiscard]] Offset first() const { return blocks_.empty() ? next_ : blocks_.front().first(); }
  [[nodiscard]] bool reaches(Offset cursor) const { return first() <= cursor && cursor <= next_; }
  // The block that holds `offset`, which lies between first() and next().
  [[nodiscard]] EventBlock& block_of(Offset offset);
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] std::size_t events() const { return next_ - first(); }

  // To be called after JSON was made: it grows blocks.
  void trim();

 private:
  std::deque<EventBlock> blocks_;
  Offset next_;
  std::size_t bytes_max_;
  std::size_t events_max_;
};

}  // namespace millrace::gateway
