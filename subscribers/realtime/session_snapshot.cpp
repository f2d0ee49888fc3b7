// Snapshots: before the first event of a subscription that asked for one, the latest of each key before it. Read from
// the log on a replay thread, while the subscription's place stands still: its end is where the events begin.
#include <string>

#include "subscribers/realtime/session.hpp"

namespace millrace::gateway {

void Session::send_snapshot(Subscription& subscription) {
  if (!subscription.snapshot->bodies) return read_snapshot(subscription);
  SnapshotBodies& bodies = *subscription.snapshot->bodies;
  const std::shared_ptr<const Body> body = std::move(bodies.front());
  bodies.pop_front();
  const bool last = bodies.empty();
  if (last) subscription.snapshot.reset();
  const bool binary = subscription.view.encoding == protocol::Encoding::binary;
  tail_ = binary ? std::string_view() : protocol::events_suffix;
  if (binary) {
    const auto header =
        protocol::binary_snapshot_header(subscription.id, body->next, body->count, hub_.clock.wall(), last);
    head_.assign(header.data(), header.size());
  } else {
    head_ = protocol::snapshot_prefix(subscription.id, hub_.topics[subscription.topic].info.name, body->next,
                                      body->count, last);
  }
  body_ = body;
  subscription.last_sent = hub_.clock.monotonic();
  hub_.counters.add(Counter::messages_sent);
  write(binary);
}

void Session::read_snapshot(Subscription& subscription) {
  if (replaying_ || hub_.stopping) return;
  SnapshotRead work;
  work.slot = subscription.slot();  // of what its start has read, which waits for this
  if (!work.slot) work.slot = hub_.take_replay_slot();
  if (!work.slot) return;  // the next tick asks again
  work.topic = subscription.topic;
  work.as_of = subscription.cursor;
  work.view = subscription.view;
  work.type = hub_.topics[subscription.topic].info.type;
  work.bytes = hub_.options.message_size_max;
  replaying_ = subscription.reading = true;
  asio::post(hub_.replay_threads, [self = self(), id = subscription.id, work = std::move(work)]() mutable {
    auto bodies = gateway::read_snapshot(self->hub_.source, work);
    work.slot.reset();
    Hub& hub = self->hub_;
    asio::post(hub.io, [self = std::move(self), id, bodies = std::move(bodies)]() mutable {
      self->on_snapshot(id, std::move(bodies));
    });
  });
}

void Session::on_snapshot(std::uint32_t id, Result<SnapshotBodies> bodies) {
  replaying_ = false;
  if (state_ == State::ended) return;
  if (Subscription* subscription = find(id)) {
    subscription->reading = false;
    if (bodies) {
      subscription->snapshot->bodies = std::move(*bodies);
    } else {
      end_with(*subscription, protocol::from_error(bodies.error()));
    }
  }
  pump();
}

}  // namespace millrace::gateway
