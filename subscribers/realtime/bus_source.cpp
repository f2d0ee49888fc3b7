#include "subscribers/realtime/bus_source.hpp"

#include <algorithm>
#include <string>

#include "bus/snapshot_keys.hpp"
#include "wal/last_values.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

constexpr auto ask_interval = 250ms;
constexpr auto silence_max = 2s;  // of a core that is there

PublisherState state_of(control::PublisherState state) {
  static_assert(static_cast<int>(control::PublisherState::dead) == static_cast<int>(PublisherState::dead) &&
                static_cast<int>(control::PublisherState::closed) == static_cast<int>(PublisherState::closed));
  return static_cast<PublisherState>(state);
}

// Reads with pread: a bad sector must not end the gateway.
class LogReplay final : public Replay {
 public:
  struct Log {
    std::string folder;
    std::shared_ptr<const BusSource::LogEnd> end;
    Level level;
    RunBegin run;  // that it was opened in
    std::uint32_t failures;
  };
  LogReplay(wal::Reader reader, Offset next, Log log) : log_(std::move(reader)), next_(next), from_(std::move(log)) {}

  [[nodiscard]] Offset next() const override { return next_; }
  [[nodiscard]] RunBegin run() const override { return from_.run; }

 private:
  [[nodiscard]] Result<std::size_t> read_some(const Handler& handler, std::size_t limit) override {
    std::size_t count = 0;
    const Offset end = log_end();
    MILLRACE_TRY(leave_closed_segment(end));
    while (count < limit) {
      if (const auto event = cursor_ ? cursor_->next() : std::nullopt) {
        next_ = event->offset.next();
        handler({event->offset, batch_->record_time, batch_->publisher, batch_->epoch, event->frame});
        ++count;
        continue;
      }
      if (next_ >= end) break;
      auto batch = log_.next(end);
      if (!batch) return fail(batch.error());
      if (!*batch) break;
      batch_ = **batch;
      cursor_.emplace(*batch_, next_);
    }
    return count;
  }
  [[nodiscard]] Offset log_end() const {
    const bool synced = from_.level == Level::synced;
    return Offset((synced ? from_.end->synced : from_.end->offset).load(std::memory_order_acquire));
  }
  // Where the topic was reopened, or a new run begun, the segment stood in may go on with what is void.
  [[nodiscard]] Status leave_closed_segment(Offset end) {
    const Run run(from_.end->run.load(std::memory_order_relaxed));
    const std::uint32_t failures = from_.end->failures.load(std::memory_order_relaxed);
    if ((run == from_.run.run && failures == from_.failures) || next_ >= end) return {};
    auto log = wal::Reader::open(wal::posix_file_system(), from_.folder);
    if (!log) return fail(log.error());
    MILLRACE_TRY(log->seek(next_));
    log_ = std::move(*log);
    cursor_.reset();
    from_.run = {run, Offset(from_.end->run_begin.load(std::memory_order_relaxed))};
    from_.failures = failures;
    return {};
  }

  wal::Reader log_;
  Offset next_;
  Log from_;
  std::optional<wal::BatchView> batch_;
  std::optional<wal::EventCursor> cursor_;
};

TopicState state_of(control::TopicState state) {
  static_assert(static_cast<int>(control::TopicState::failed) == static_cast<int>(TopicState::failed) &&
                static_cast<int>(control::TopicState::disk_stalled) == static_cast<int>(TopicState::disk_stalled));
  return static_cast<TopicState>(state);
}

class BusName final : public HeldName {
 public:
  explicit BusName(HeldConsumer held) : held_(std::move(held)) {}
  [[nodiscard]] Offset begin() const override { return held_.begin().offset; }
  [[nodiscard]] Status look() override { return held_.look(); }
  void sent(Offset next) override { held_.handed_on(next); }
  [[nodiscard]] Status ack(Offset end) override { return held_.ack(end); }
  [[nodiscard]] Offset acked() const override { return held_.acked(); }
  [[nodiscard]] Offset checkpoint() const override { return held_.checkpoint(); }

 private:
  HeldConsumer held_;
};

Start start_of(const ReplayStart& start) {
  if (const auto* offset = std::get_if<Offset>(&start)) return *offset;
  if (const auto* time = std::get_if<WallTime>(&start)) return *time;
  if (const auto* position = std::get_if<Position>(&start)) return *position;
  return StartEarliest{};
}

}  // namespace

CoreStatus::CoreStatus(Bus& bus, const Clock& clock)
    : bus_(bus),
      clock_(clock),
      runner_("gw-status", *this,
              std::make_unique<BackOffIdle>(
                  BackOffIdle::Limits{.spins = 0, .yields = 0, .min_sleep = 1ms, .max_sleep = 50ms}),
              std::nullopt, clock) {
  do_work(clock.monotonic());  // there is an answer from the start
  runner_.start();
}

std::uint64_t CoreStatus::do_work(MonotonicTime now) {
  if (now - asked_ < ask_interval) return 0;
  asked_ = now;
  auto report = bus_.status();
  if (!report) return 0;  // the last answer's age tells
  auto answer = std::make_shared<const Answer>(Answer{std::move(*report), clock_.monotonic()});
  const std::lock_guard lock(mutex_);
  last_ = std::move(answer);
  return 0;
}

std::shared_ptr<const CoreStatus::Answer> CoreStatus::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

Result<std::unique_ptr<BusSource>> BusSource::open(Bus& bus, const Clock& clock) {
  std::unique_ptr<BusSource> source(new BusSource(bus, clock));
  for (const TopicDescription& description : bus.topics()) {
    auto subscriber =
        bus.subscribe(description.name, {.level = millrace::Level::recorded, .start = StartLatest{}, .on_gap = {}});
    if (!subscriber) return fail(subscriber.error());
    subscriber->verify(false);  // the gateway copies an event before it looks at it, and verifies the copy
    look_at_end(source->topics_.emplace_back(Topic{description, std::move(*subscriber)}));
  }
  return source;
}

// The run and the failures first: whoever sees an end behind them knows them, too.
void BusSource::look_at_end(Topic& topic) {
  const Follower& follower = *topic.subscriber.follower();
  const Follower::Freshness fresh = follower.freshness();
  const ring::TopicMarks& marks = follower.attachment()->marks->topic;
  topic.log_end->run.store(follower.position().run.value(), std::memory_order_relaxed);
  topic.log_end->run_begin.store(marks.run_begin.load(std::memory_order_acquire), std::memory_order_relaxed);
  topic.log_end->failures.store(marks.failures.load(std::memory_order_acquire), std::memory_order_relaxed);
  topic.log_end->offset.store(fresh.recorded_end.value(), std::memory_order_release);
  // A run that the follower has not taken up yet may give out again what it has handed over: nothing of that run is
  // shown as synced before. Who sees an end of a new run sees the run.
  if (Run(marks.run.load(std::memory_order_acquire)) != follower.position().run) return;
  topic.log_end->synced.store(fresh.synced_end.value(), std::memory_order_release);
}

Offset BusSource::synced_end(std::size_t topic) {
  look_at_end(topics_[topic]);
  const Offset synced(topics_[topic].log_end->synced.load(std::memory_order_relaxed));
  return std::min(synced, topics_[topic].subscriber.follower()->position().offset);
}

RunBegin BusSource::run(std::size_t topic) {
  const LogEnd& end = *topics_[topic].log_end;
  return {Run(end.run.load(std::memory_order_relaxed)), Offset(end.run_begin.load(std::memory_order_relaxed))};
}

const control::TopicStatusT* BusSource::status_of(const Topic& topic) const {
  if (!answer_) return nullptr;
  for (const auto& status : answer_->report.topics) {
    if (status->name == topic.description.name) return status.get();
  }
  return nullptr;
}

std::vector<TopicInfo> BusSource::topics() {
  answer_ = status_.last();
  std::vector<TopicInfo> infos;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    Topic& topic = topics_[i];
    const Follower& follower = *topic.subscriber.follower();
    const Position position = follower.position();
    const auto* status = status_of(topic);
    TopicInfo& info = infos.emplace_back(TopicInfo{topic.description.name,
                                                   topic.description.type,
                                                   Offset(status ? status->first_offset : 0),
                                                   position.offset,
                                                   position.log_id,
                                                   position.run,
                                                   follower.freshness().recorded_end,
                                                   synced_end(i),
                                                   TopicState::unknown,
                                                   {}});
    if (status) {
      info.state = state_of(status->state);
      info.reason = status->reason;
    }
    if (const auto& error = follower.error()) {
      info.state = TopicState::not_followed;
      info.reason = error->message;
    }
  }
  return infos;
}

std::vector<PublisherInfo> BusSource::publishers(std::size_t topic) {
  std::vector<PublisherInfo> infos;
  const auto* status = status_of(topics_[topic]);
  if (!status) return infos;
  for (const auto& publisher : status->publishers) {
    infos.push_back({publisher->name, PublisherId(publisher->id), Epoch(publisher->epoch), state_of(publisher->state),
                     Sequence(publisher->last_sequence)});
  }
  return infos;
}

Health BusSource::health() {
  Health health;
  if (answer_) health.reasons = answer_->report.reasons;
  if (!bus_.connected()) {
    health.core = CoreState::away;
    health.reasons.emplace_back("the core is away");
  } else if (!answer_) {
    health.core = CoreState::silent;
    health.reasons.emplace_back("the core has not answered yet");
  } else if (const auto silence = clock_.monotonic() - answer_->taken; silence > silence_max) {
    health.core = CoreState::silent;
    health.reasons.push_back("the core has not answered for " + std::to_string(silence / 1s) + " s");
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
    look_at_end(topic);
  }
  turn_ = topics_.empty() ? 0 : (turn_ + 1) % topics_.size();
  return count;
}

Result<std::unique_ptr<Replay>> BusSource::replay(std::size_t index, const ReplayStart& start, Level level) {
  const Topic& topic = topics_[index];
  const bool synced = level == Level::synced;
  const Offset end((synced ? topic.log_end->synced : topic.log_end->offset).load(std::memory_order_acquire));
  const RunBegin run{Run(topic.log_end->run.load(std::memory_order_relaxed)),
                     Offset(topic.log_end->run_begin.load(std::memory_order_relaxed))};
  const std::uint32_t failures = topic.log_end->failures.load(std::memory_order_relaxed);
  auto log = wal::Reader::open(wal::posix_file_system(), topic.description.log_folder);
  if (!log) return fail(log.error());
  const auto next = find_start(*log, start_of(start), end, run.run);
  if (!next) return fail(next.error());
  MILLRACE_TRY(log->seek(*next));
  return std::make_unique<LogReplay>(std::move(*log), *next,
                                     LogReplay::Log{topic.description.log_folder, topic.log_end, level, run, failures});
}

Status BusSource::last_values(std::size_t index, Offset end, const Replay::Handler& handler) {
  const TopicDescription& topic = topics_[index].description;
  const auto values = wal::last_values(wal::posix_file_system(), topic.log_folder, end, snapshot_keys(*topic.type));
  if (!values) return fail(values.error());
  for (const wal::LastValue& value : *values) {
    handler({value.offset, value.record_time, value.publisher, value.epoch, value.view()});
  }
  return {};
}

Result<std::unique_ptr<HeldName>> BusSource::hold(std::size_t topic, const HoldRequest& request) {
  const Start start = request.start ? start_of(*request.start) : Start(StartLatest{});
  auto held = bus_.hold(topics_[topic].description.name,
                        {.consumer = request.consumer, .start = start, .take_over = request.take_over});
  if (!held) return fail(held.error());
  return std::make_unique<BusName>(std::move(*held));
}

}  // namespace millrace::gateway
