#include "subscribers/realtime/feeder.hpp"

namespace millrace::gateway {

namespace {
constexpr std::chrono::nanoseconds snapshot_every{250'000'000};
constexpr std::size_t poll_limit = 512;
}  // namespace

Snapshot take_snapshot(EventSource& source, MonotonicTime now) {
  Snapshot snapshot{source.topics(), {}, source.health(), now};
  for (std::size_t i = 0; i < snapshot.topics.size(); ++i) snapshot.publishers.push_back(source.publishers(i));
  return snapshot;
}

Feeder::Feeder(EventSource& source, Counters& counters, std::vector<TopicInfo> topics, std::size_t bytes_max,
               std::function<void()> wake)
    : source_(source),
      counters_(counters),
      topics_(std::move(topics)),
      gathering_(topics_.size()),
      synced_(topics_.size()),
      runs_(topics_.size()),
      bytes_max_(bytes_max),
      wake_(std::move(wake)) {}

std::uint64_t Feeder::do_work(MonotonicTime now) {
  if (now - snapshot_at_ >= snapshot_every) {
    snapshot_at_ = now;
    hand_over(take_snapshot(source_, now));
  }
  // The network's thread is behind: leave the rest in the source, which heals itself from the log.
  if (pending_.load() >= bytes_max_) return 0;
  const std::uint64_t count = source_.poll(
      [this](std::size_t topic, const LiveEvent& event) {
        EventBlock& block = gathering_[topic];
        if (!block.empty() && block.next() != event.offset) {
          hand_over(TopicEvents{topic, std::exchange(block, EventBlock{})});
        }
        block.append(event, *topics_[topic].type);
        counters_.add(Counter::events);
        if (!block.entry(block.count() - 1).valid) counters_.add(Counter::events_invalid);
      },
      poll_limit);
  for (std::size_t topic = 0; topic < gathering_.size(); ++topic) {
    // Before its first events.
    const RunBegin run = source_.run(topic);
    if (std::exchange(runs_[topic], run.run) != run.run) hand_over(RunBegan{topic, run});
    if (!gathering_[topic].empty()) hand_over(TopicEvents{topic, std::exchange(gathering_[topic], EventBlock{})});
  }
  return count + look_at_sync();
}

// After the events: who is told of an end has them.
std::uint64_t Feeder::look_at_sync() {
  std::uint64_t moved = 0;
  for (std::size_t topic = 0; topic < synced_.size(); ++topic) {
    const Offset end = source_.synced_end(topic);
    if (end == synced_[topic]) continue;
    synced_[topic] = end;
    hand_over(SyncedEnd{topic, end});
    ++moved;
  }
  return moved;
}

void Feeder::hand_over(Update update) {
  if (const auto* events = std::get_if<TopicEvents>(&update)) pending_.fetch_add(events->events.bytes());
  queue_.enqueue(std::move(update));
  if (!woken_.exchange(true)) wake_();
}

}  // namespace millrace::gateway
