// What a message carries: the events of a block that are to be shown, encoded back to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/ids.hpp"
#include "schemas/flat.hpp"
#include "subscribers/realtime/counters.hpp"
#include "subscribers/realtime/event_block.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

struct Plan;

// What a subscription shows of its topic's events, and how.
struct View {
  std::shared_ptr<const protocol::Filter> filter = std::make_shared<const protocol::Filter>();
  std::shared_ptr<const Plan> plan;  // of a conflation under way: it leaves out what the plan does not keep
  protocol::Encoding encoding = protocol::Encoding::json;
  std::shared_ptr<const schemas::FlatType> columns{};  // of csv
  Level level = Level::recorded;
};

// Sequences that the log jumps over: they were never recorded.
struct MissingEvents {
  PublisherId publisher;
  Sequence from;
  Sequence to;  // included
  Offset before;
};

// Events encoded for a message, without what differs from session to session. Shared once complete.
struct Body {
  std::string bytes;     // JSON: the events with commas between; binary: entries and frames; else lines
  std::size_t size = 0;  // of `bytes`, or that they would have where they are only measured
  Offset first;          // accounts for [first, next)
  Offset next;
  std::uint32_t count = 0;
  std::uint64_t conflated = 0;  // passed the filter, but not the plan

  // Of each publisher, shown or not: what it has of its sequences, to be put together with what came before.
  struct Stream {
    PublisherId publisher;
    Sequence first;
    Offset first_at;
    Sequence last;
  };
  std::vector<Stream> streams;
  std::vector<MissingEvents> missing;  // between its own events

  bool from_log = false;
  std::shared_ptr<void> slot;  // of the replays that may be under way at once, if it came from the log
};

// Makes it ready for events of that type. Why it cannot be, if so.
[[nodiscard]] std::optional<std::string> fit(protocol::Filter& filter, const schemas::EventType& type);
[[nodiscard]] bool passes(const protocol::Filter& filter, const EventBlock::Entry& entry, FrameView frame,
                          const schemas::EventType& type);

// Where a body ends: with the event that reaches a bound.
struct Limit {
  std::size_t bytes = SIZE_MAX;
  std::uint32_t count = UINT32_MAX;
  Offset end{UINT64_MAX};
  bool measure = false;  // no bytes are kept
};
// Adds the events of `block` from body.next on, which it must hold, until `body` is at its limit, or the block or the
// plan ends.
void gather(EventBlock& block, const View& view, const schemas::EventType& type, const Limit& limit, Body& body,
            Counters& counters);
// Whether another event may be added: it has neither its bytes or events yet, nor many gaps to tell of.
[[nodiscard]] bool has_room(const Body& body, const Limit& limit);

}  // namespace millrace::gateway
