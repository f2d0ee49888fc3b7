#include "subscribers/realtime/snapshot.hpp"

namespace millrace::gateway {

Result<SnapshotBodies> read_snapshot(EventSource& source, const SnapshotRead& work) {
  SnapshotBodies bodies;
  Counters uncounted;
  std::shared_ptr<Body> body;
  const auto begin = [&] {
    body = std::make_shared<Body>();
    body->slot = work.slot;
    bodies.push_back(body);
  };
  begin();
  const Status read = source.last_values(work.topic, work.as_of, [&](const LiveEvent& event) {
    if (body->size >= work.bytes) begin();
    EventBlock block;
    block.append(event, *work.type);
    body->next = event.offset;
    gather(block, work.view, *work.type, {}, *body, uncounted);
    // Of sequences it knows nothing: what lies between two values is left out on purpose.
    body->missing.clear();
    body->streams.clear();
  });
  if (!read) return fail(read.error());
  for (const auto& each : bodies) {
    const auto& made = std::const_pointer_cast<Body>(each);
    made->first = made->next = work.as_of;
  }
  return bodies;
}

}  // namespace millrace::gateway
