// What a message carries: the events of a block that pass a filter, encoded back to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bus/base/ids.hpp"
#include "subscribers/realtime/counters.hpp"
#include "subscribers/realtime/event_block.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

// Events encoded for a message, without what differs from session to session. Shared once complete.
struct Body {
  std::string bytes;  // JSON: the events with commas between; binary: entries and frames
  Offset first;       // accounts for [first, next)
  Offset next;
  std::uint32_t count = 0;
  std::shared_ptr<void> slot;  // of the replays that may be under way at once, if it came from the log
};

[[nodiscard]] bool passes(const protocol::Filter& filter, const EventBlock::Entry& entry, FrameView frame,
                          const schemas::EventType& type);

// Adds the events of `block` from body.next on, which it must hold, until `body` has `bytes_max` or the block ends.
void gather(EventBlock& block, const protocol::Filter& filter, protocol::Encoding encoding,
            const schemas::EventType& type, std::size_t bytes_max, Body& body, Counters& counters);

}  // namespace millrace::gateway
