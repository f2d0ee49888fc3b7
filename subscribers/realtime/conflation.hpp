// Latest per key, for a session that is behind its bound. A look ahead, from its place to the head, finds the events
// that no newer one of the same key replaces; these are then gathered as ever, and the rest is passed over. So nothing
// is kept of events themselves, but 8 bytes for each that is to be sent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "bus/base/ids.hpp"
#include "subscribers/realtime/event_block.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

// What is to be sent of the offsets up to `end`.
struct Plan {
  Offset end;
  std::vector<Offset> kept;  // ascending; all pass the filter

  [[nodiscard]] bool keeps(Offset offset) const { return std::binary_search(kept.begin(), kept.end(), offset); }
};

class Lookahead {
 public:
  // Over [first, end), or as far as there are `kept_max` events to keep.
  Lookahead(Offset first, Offset end, std::size_t kept_max) : next_(first), end_(end), kept_max_(kept_max) {}

  [[nodiscard]] Offset next() const { return next_; }
  [[nodiscard]] Offset end() const { return end_; }
  [[nodiscard]] bool done() const { return next_ >= end_; }
  // Looks at the events of `block`, which holds next(), from there on, at `limit` of them at most.
  void look(const EventBlock& block, const protocol::Filter& filter, const schemas::EventType& type, std::size_t limit);
  // Once it is done.
  [[nodiscard]] Plan plan() const;

 private:
  Offset next_;
  Offset end_;
  std::size_t kept_max_;
  std::unordered_map<std::uint64_t, Offset> newest_;  // by key
  std::vector<Offset> keyless_;                       // and those whose payload cannot be trusted: never conflated
};

}  // namespace millrace::gateway
