// The messages of a subscription's snapshot: the latest event of each key before the place where it begins.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "subscribers/realtime/event_source.hpp"
#include "subscribers/realtime/gather.hpp"

namespace millrace::gateway {

// At least one: the last tells that it was all. They account for no offset.
using SnapshotBodies = std::deque<std::shared_ptr<const Body>>;

// A piece of work for a replay thread.
struct SnapshotRead {
  std::size_t topic = 0;
  Offset as_of;
  View view;
  const schemas::EventType* type = nullptr;
  std::size_t bytes = 0;  // of a message
  std::shared_ptr<void> slot;
};
// Errors: deleted, those of reading the log.
[[nodiscard]] Result<SnapshotBodies> read_snapshot(EventSource& source, const SnapshotRead& work);

}  // namespace millrace::gateway
