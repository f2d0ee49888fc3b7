#include "subscribers/realtime/bus_source.hpp"

#include <algorithm>

#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 2s;  // at what retention has left of the logs

PublisherState state_of(control::PublisherState state) {
  static_assert(static_cast<int>(control::PublisherState::dead) == static_cast<int>(PublisherState::dead) &&
                static_cast<int>(control::PublisherState::closed) == static_cast<int>(PublisherState::closed));
  return static_cast<PublisherState>(state);
}

// Reads with pread: a bad sector must not end the gateway.
class LogReplay final : public Replay {
 public:
  LogReplay(wal::Reader log, Offset next, std::shared_ptr<const std::atomic<std::uint64_t>> end)
      : log_(std::move(log)), next_(next), end_(std::move(end)) {}

  [[nodiscard]] Offset next() const override { return next_; }
  [[nodiscard]] Result<std::size_t> read(const Handler& handler, std::size_t limit) override {
    std::size_t count = 0;
    while (count < limit) {
      if (const auto event = cursor_ ? cursor_->next() : std::nullopt) {
        next_ = event->offset.next();
        handler({event->offset, batch_->record_time, batch_->publisher, batch_->epoch, event->frame});
        ++count;
        continue;
      }
      const Offset end(end_->load(std::memory_order_acquire));
      if (next_ >= end) break;
      auto batch = log_.next(end);
      if (!batch) return fail(batch.error());
      if (!*batch) break;
      batch_ = **batch;
      cursor_.emplace(*batch_, next_);
    }
    return count;
  }

 private:
  wal::Reader log_;
  Offset next_;
  std::shared_ptr<const std::atomic<std::uint64_t>> end_;
  std::optional<wal::BatchView> batch_;
  std::optional<wal::EventCursor> cursor_;
};

Start start_of(const ReplayStart& start) {
  if (const auto* offset = std::get_if<Offset>(&start)) return *offset;
  if (const auto* time = std::get_if<WallTime>(&start)) return *time;
  if (const auto* position = std::get_if<Position>(&start)) return *position;
  return StartEarliest{};
}

}  // namespace

Result<std::unique_ptr<BusSource>> BusSource::open(Bus& bus, const Clock& clock) {
  std::unique_ptr<BusSource> source(new BusSource(bus, clock));
  for (const TopicDescription& description : bus.topics()) {
    auto subscriber = bus.subscribe(description.name, {.level = Level::recorded, .start = StartLatest{}, .on_gap = {}});
    if (!subscriber) return fail(subscriber.error());
    subscriber->verify(false);  // the gateway copies an event before it looks at it, and verifies the copy
    const Position position = subscriber->follower()->position();
    Topic& topic = source->topics_.emplace_back(Topic{description, std::move(*subscriber)});
    topic.end->store(position.offset.value());
    topic.log_id = position.log_id;
    topic.run = position.run;
  }
  source->look_at_logs();
  return source;
}

void BusSource::look_at_logs() {
  logs_seen_ = clock_.monotonic();
  for (Topic& topic : topics_) {
    const auto log = wal::Reader::open(wal::posix_file_system(), topic.description.log_folder);
    if (log) topic.first = log->first_offset();
  }
}

std::vector<TopicInfo> BusSource::topics() {
  status_ = bus_.status();
  if (clock_.monotonic() - logs_seen_ > look_interval) look_at_logs();
  std::vector<TopicInfo> infos;
  for (Topic& topic : topics_) {
    const Position position = topic.subscriber.follower()->position();
    infos.push_back(
        {topic.description.name, topic.description.type, topic.first, position.offset, position.log_id, position.run});
  }
  return infos;
}

std::vector<PublisherInfo> BusSource::publishers(std::size_t topic) {
  std::vector<PublisherInfo> infos;
  if (!status_) return infos;
  for (const auto& status : status_->topics) {
    if (status->name != topics_[topic].description.name) continue;
    for (const auto& publisher : status->publishers) {
      infos.push_back({publisher->name, PublisherId(publisher->id), Epoch(publisher->epoch), state_of(publisher->state),
                       Sequence(publisher->last_sequence)});
    }
  }
  return infos;
}

Health BusSource::health() {
  Health health;
  if (status_) {
    health.reasons = status_->reasons;
  } else {
    health.reasons.push_back("the core does not answer: " + status_.error().message);
  }
  for (Topic& topic : topics_) {
    if (const auto& error = topic.subscriber.follower()->error()) {
      health.reasons.push_back("topic " + topic.description.name + " cannot be followed: " + error->message);
    }
  }
  return health;
}

std::uint64_t BusSource::poll(const Handler& handler, std::size_t limit) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    const std::size_t index = (turn_ + i) % topics_.size();
    Topic& topic = topics_[index];
    count += topic.subscriber.poll(
        [&](const Event& event) {
          handler(index, {*event.offset, event.record_time, event.publisher, event.epoch, event.frame});
        },
        limit);
    topic.end->store(topic.subscriber.follower()->freshness().recorded_end.value(), std::memory_order_release);
  }
  turn_ = topics_.empty() ? 0 : (turn_ + 1) % topics_.size();
  return count;
}

Result<std::unique_ptr<Replay>> BusSource::replay(std::size_t index, const ReplayStart& start) {
  const Topic& topic = topics_[index];
  const Offset end(topic.end->load(std::memory_order_acquire));
  auto log = wal::Reader::open(wal::posix_file_system(), topic.description.log_folder);
  if (!log) return fail(log.error());
  const auto next = find_start(*log, start_of(start), end, topic.run);
  if (!next) return fail(next.error());
  MILLRACE_TRY(log->seek(*next));
  return std::make_unique<LogReplay>(std::move(*log), *next, topic.end);
}

}  // namespace millrace::gateway
