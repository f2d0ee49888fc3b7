#include "subscribers/realtime/hub.hpp"

#include <algorithm>

#include "subscribers/realtime/conflation.hpp"

namespace millrace::gateway {

namespace {
// A feeder that has not reported for this long is stuck.
constexpr std::chrono::nanoseconds feeder_silence_max{3'000'000'000};
}  // namespace

Hub::Hub(asio::io_context& io_context, EventSource& event_source, const GatewayOptions& gateway_options,
         const Clock& system, Snapshot snapshot)
    : io(io_context),
      source(event_source),
      options(gateway_options),
      clock(system),
      replay_threads(gateway_options.replay_threads),
      wake_timer_(io_context) {
  topics.reserve(snapshot.topics.size());
  for (const TopicInfo& info : snapshot.topics) topics.emplace_back(info, options);
  update(std::move(snapshot));
  tell_watchers();  // there are none: what is there is known
}

void Hub::update(Feeder::Update&& update) {
  if (auto* snapshot = std::get_if<Snapshot>(&update)) {
    for (std::size_t i = 0; i < topics.size(); ++i) {
      topics[i].info = std::move(snapshot->topics[i]);
      topics[i].publishers = std::move(snapshot->publishers[i]);
    }
    source_health_ = std::move(snapshot->health);
    snapshot_taken_ = snapshot->taken;
    return;
  }
  if (const auto* synced = std::get_if<SyncedEnd>(&update)) {
    topics[synced->topic].info.synced_end = synced->end;
    return;
  }
  if (const auto* began = std::get_if<RunBegan>(&update)) {
    topics[began->topic].run = began->run;
    return;
  }
  auto& [index, events] = std::get<TopicEvents>(update);
  Topic& topic = topics[index];
  if (events.first() < topic.cache.next()) {
    // Given out again in a new run of the log: the events of these offsets that we have were taken back.
    topic.cache.restart(events.first());
    topic.bodies = {};
  }
  topic.cache.append(std::move(events));
}

void Hub::tell_watchers() {
  for (Topic& topic : topics) {
    for (const Level level : {Level::recorded, Level::synced}) {
      Offset& shown = topic.shown[static_cast<std::size_t>(level)];
      const Offset head = topic.head(level);
      if (head == shown) continue;
      shown = head;
      for (Connection* watcher : topic.watchers_of(level)) watcher->events_arrived();
    }
  }
}

void Hub::tick() {
  const MonotonicTime now = clock.monotonic();
  for (const auto& connection : all()) connection->tick(now);
  wake_who_is_due();
  for (Topic& topic : topics) topic.cache.trim();
}

void Hub::wake_at(MonotonicTime when, const std::shared_ptr<Connection>& connection) {
  if (stopping) return;
  const auto at = to_wake_.emplace(when, connection);
  if (at != to_wake_.begin()) return;
  wake_timer_.expires_after(when - clock.monotonic());
  wake_timer_.async_wait([this](beast::error_code failed) {
    if (!failed) wake_who_is_due();
  });
}

void Hub::stop_waking() {
  to_wake_.clear();
  wake_timer_.cancel();
}

void Hub::wake_who_is_due() {
  const MonotonicTime now = clock.monotonic();
  std::vector<std::weak_ptr<Connection>> due;
  while (!to_wake_.empty() && to_wake_.begin()->first <= now) {
    due.push_back(std::move(to_wake_.begin()->second));
    to_wake_.erase(to_wake_.begin());
  }
  for (const auto& one : due) {
    if (const auto connection = one.lock()) connection->woken();
  }
  if (to_wake_.empty() || stopping) return;
  const auto [when, connection] = *to_wake_.begin();
  to_wake_.erase(to_wake_.begin());
  wake_at(when, connection.lock());
}

Topic* Hub::find(std::string_view name) {
  for (Topic& topic : topics) {
    if (topic.info.name == name) return &topic;
  }
  return nullptr;
}

std::shared_ptr<const Body> Hub::gather_live(Topic& topic, Offset cursor, const View& view, Limit limit) {
  Offset head = std::min(topic.head(view.level), limit.end);
  if (view.plan) head = std::min(head, view.plan->end);
  limit.end = head;
  const bool shared = view.filter->field.empty() && !view.plan;
  const auto kind = static_cast<std::size_t>(view.encoding);
  if (shared) {
    for (const auto& body : topic.bodies[kind]) {
      if (body && body->first == cursor && body->next <= head && (body->next == head || !has_room(*body, limit))) {
        counters.add(Counter::bodies_shared);
        return body;
      }
    }
  }
  auto body = std::make_shared<Body>();
  body->first = body->next = cursor;
  while (body->next < head && has_room(*body, limit)) {
    gather(topic.cache.block_of(body->next), view, *topic.info.type, limit, *body, counters);
  }
  if (shared && body->count > 0) {
    topic.bodies[kind][topic.oldest_body[kind]] = body;
    topic.oldest_body[kind] = (topic.oldest_body[kind] + 1) % topic.bodies[kind].size();
  }
  return body;
}

std::shared_ptr<void> Hub::take_replay_slot() {
  if (replays_.fetch_add(1) >= options.replays_max) {
    replays_.fetch_sub(1);
    return nullptr;
  }
  return {this, [](Hub* hub) { hub->replays_.fetch_sub(1); }};
}

Health Hub::health() const {
  Health health = source_health_;
  if (const auto silence = feeder_silence(); silence > feeder_silence_max) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(silence).count();
    health.reasons.push_back("the feeder has not reported for " + std::to_string(seconds) + " s");
  }
  return health;
}

std::vector<std::shared_ptr<Connection>> Hub::all() const {
  std::vector<std::shared_ptr<Connection>> copy;
  copy.reserve(connections.size());
  for (const auto& [key, connection] : connections) copy.push_back(connection);
  return copy;
}

}  // namespace millrace::gateway
