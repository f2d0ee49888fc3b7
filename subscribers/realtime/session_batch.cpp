// Batches: a session holds its events back until there are enough of them, or the first is old enough. It still keeps
// none of them, but measures what lies between its cursor and the head, and gathers that when it closes: sessions that
// close at the same place send the same message. Where a batch ends is a matter of what it holds, but for its age: one
// that is sent again from its first offset on ends at the same place, or behind it.
#include <algorithm>
#include <string>

#include "subscribers/realtime/session.hpp"

namespace millrace::gateway {

namespace {
// Events of memory that are measured before other sessions have their turn.
constexpr std::size_t look_limit = 8 * 1024;
// Batches that were sent and not acknowledged, whose ends are remembered.
constexpr std::size_t unacked_max = 16 * 1024;
}  // namespace

Limit Session::limit_of(const protocol::BatchBounds& bounds) {
  return {.bytes = bounds.bytes, .count = bounds.count};
}

bool Session::close_batch(Subscription& subscription) {
  Topic& topic = hub_.topics[subscription.topic];
  Batching& batch = *subscription.batch;
  Limit limit = limit_of(batch.bounds);
  if (subscription.view.plan) {  // of what is conflated nothing is new
    batch.open.reset();
    subscription.ready = hub_.gather_live(topic, subscription.cursor, subscription.view, limit);
    return true;
  }
  const Offset head = head_of(subscription);
  if (!batch.open || batch.open->first != subscription.cursor) {
    batch.open = std::make_unique<Body>();
    batch.open->first = batch.open->next = subscription.cursor;
  }
  Body& open = *batch.open;
  limit.end = head;
  limit.measure = true;
  const MonotonicTime now = hub_.clock.monotonic();
  for (const Offset from = open.next; open.next < head && has_room(open, limit);) {
    if (open.next - from >= look_limit) return pump_later(), false;
    const bool was_empty = open.count == 0;
    gather(topic.cache.block_of(open.next), subscription.view, *topic.info.type, limit, open, hub_.counters);
    if (was_empty && open.count > 0) batch.opened = now;
  }
  const MonotonicTime due = batch.opened + batch.bounds.age;
  // Of events that all fail the filter there is nothing to wait for: they are passed over.
  if (open.count > 0 && has_room(open, limit) && now < due) {
    return wake_me_at(due), false;
  }
  limit.end = open.next;
  limit.measure = false;
  subscription.ready = hub_.gather_live(topic, subscription.cursor, subscription.view, limit);
  batch.open.reset();
  return true;
}

std::string Session::batch_head(const Subscription& subscription, const std::string& topic, const Body& body) const {
  using protocol::ClosedBy;
  const protocol::BatchBounds& bounds = subscription.batch->bounds;
  ClosedBy closed_by = body.from_log || subscription.view.plan ? ClosedBy::log : ClosedBy::age;
  if (body.count >= bounds.count) closed_by = ClosedBy::count;
  if (body.size >= bounds.bytes) closed_by = ClosedBy::bytes;
  if (subscription.view.encoding == protocol::Encoding::json) {
    return protocol::batch_prefix(subscription.id, topic, body.first, body.next, body.count, closed_by);
  }
  const auto header =
      protocol::binary_batch_header(subscription.id, body.first, body.next, body.count, hub_.clock.wall(), closed_by);
  return {header.data(), header.size()};
}

void Session::note_sent(Batching& batch, const Body& body, bool durable) {
  if (!durable || body.count == 0) return;
  batch.unacked.emplace_back(body.first, body.next);
  if (batch.unacked.size() > unacked_max) batch.unacked.pop_front();
}

std::optional<std::string> Session::inside_batch(const Batching& batch, Offset end) {
  const auto at = std::partition_point(batch.unacked.begin(), batch.unacked.end(),
                                       [end](const auto& sent) { return sent.second < end; });
  if (at == batch.unacked.end()) return std::nullopt;
  if (at == batch.unacked.begin() && batch.unacked.size() == unacked_max && end < at->first) {
    return "more than " + std::to_string(unacked_max) +
           " batches were sent since: acknowledge a later one, which stands for all before it";
  }
  if (end <= at->first || end == at->second) return std::nullopt;
  return "offset " + std::to_string(end.value()) + " lies inside the batch from " + std::to_string(at->first.value()) +
         " to " + std::to_string(at->second.value()) +
         ", which is acknowledged as a whole: by its next_offset, once all of it is dealt with";
}

}  // namespace millrace::gateway
