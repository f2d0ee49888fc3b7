#include "subscribers/realtime/testing/memory_source.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "bus/base/assert.hpp"

namespace millrace::gateway::testing {

namespace {
constexpr std::int64_t first_time = 1'700'000'000'000'000'000;
constexpr std::int64_t time_step = 1'000'000;

}  // namespace

std::vector<std::byte> make_frame(Sequence sequence, WallTime time, Key key, std::span<const std::byte> payload) {
  std::vector<std::byte> bytes(frame_size(payload.size()));
  FrameHeader header{};
  header.length = static_cast<std::uint32_t>(frame_header_size + payload.size());
  header.event_type = 1;
  header.sequence = sequence.value();
  header.publish_time = time.ns;
  header.key = key.value();
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, payload.data(), payload.size());
  return bytes;
}

MemorySource::MemorySource(const std::vector<std::string>& topics) {
  for (const std::string& name : topics) {
    Log& log = logs_.emplace_back();
    log.info.name = name;
    log.info.type = registry_.find(name);
    MILLRACE_ASSERT(log.info.type != nullptr, "topics are named after built-in event types");
    log.info.log_id.bytes.fill(0xab);
    log.info.run = Run(1);
    log.publishers.push_back({"engine", PublisherId(1), Epoch(1), PublisherState::healthy, Sequence(0)});
  }
}

Offset MemorySource::publish(std::size_t topic, std::string_view json, std::optional<WallTime> now) {
  const schemas::EventType& type = *logs_[topic].info.type;
  const auto payload = type.from_json(json);
  MILLRACE_ASSERT(payload.has_value(), payload.error().message.c_str());
  return append(topic, type.key(*payload), *payload, now);
}

Offset MemorySource::publish_numbered(std::size_t topic, std::string_view instrument) {
  std::string json = R"({"instrument":")" + std::string(instrument) + '"';
  if (logs_[topic].info.name == "trade_events") {
    const std::scoped_lock lock(mutex_);
    json += R"(,"trade_id":")" + std::to_string(logs_[topic].info.next.value()) + '"';
  }
  return publish(topic, json + '}');
}

Offset MemorySource::publish_garbage(std::size_t topic) {
  return append(topic, Key(1), std::as_bytes(std::span("garbage")), std::nullopt);
}

Offset MemorySource::append(std::size_t topic, Key key, std::span<const std::byte> payload,
                            std::optional<WallTime> now) {
  const std::scoped_lock lock(mutex_);
  Log& log = logs_[topic];
  const Offset offset = log.info.next;
  const Sequence sequence = Sequence(offset.value() + 1 + log.skipped);
  const WallTime time = now.value_or(WallTime{first_time + time_step * static_cast<std::int64_t>(offset.value())});
  log.events.push_back({time, make_frame(sequence, time, key, payload)});
  ++log.info.next;
  if (!sync_held_) log.synced = log.info.next;
  log.publishers.front().last = sequence;
  return offset;
}

void MemorySource::forget_before(std::size_t topic, Offset offset) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].info.first = offset;
}

void MemorySource::damage(std::size_t topic, Offset from, Offset to) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].damage.emplace(from, to);
}

void MemorySource::sync(std::size_t topic, Offset end) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].synced = end;
}

void MemorySource::begin_run(std::size_t topic) {
  const std::scoped_lock lock(mutex_);
  Log& log = logs_[topic];
  ++log.info.run;
  log.run_begin = log.info.next;
}

void MemorySource::roll_back(std::size_t topic) {
  const std::scoped_lock lock(mutex_);
  Log& log = logs_[topic];
  ++log.info.run;
  log.run_begin = log.synced;
  log.info.next = log.synced;
  log.polled = std::min(log.polled, log.synced);
  log.events.resize(log.synced.value());
}

void MemorySource::reset_consumer(const std::string& name, Offset offset) {
  const std::scoped_lock lock(mutex_);
  Consumer& consumer = consumers_.at(name);
  consumer = {offset, offset, offset, consumer.generation + 1, false};
}

std::optional<MemorySource::Consumer> MemorySource::consumer(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  const auto at = consumers_.find(name);
  return at == consumers_.end() ? std::nullopt : std::optional(at->second);
}

void MemorySource::skip_sequences(std::size_t topic, std::uint64_t count) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].skipped += count;
}

void MemorySource::set_health(Health health) {
  const std::scoped_lock lock(mutex_);
  health_ = std::move(health);
}

void MemorySource::set_topic_state(std::size_t topic, TopicState state, const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].info.state = state;
  logs_[topic].info.reason = reason;
}

void MemorySource::set_publisher_state(std::size_t topic, PublisherState state) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].publishers.front().state = state;
}

std::vector<TopicInfo> MemorySource::topics() {
  const std::scoped_lock lock(mutex_);
  std::vector<TopicInfo> out;
  for (Log& log : logs_) {
    if (!std::exchange(log.begun, true)) log.polled = log.info.next;
    out.push_back(log.info);
    out.back().recorded_end = log.info.next;
    out.back().synced_end = std::min(log.synced, log.polled);
  }
  return out;
}

std::vector<PublisherInfo> MemorySource::publishers(std::size_t topic) {
  const std::scoped_lock lock(mutex_);
  return logs_[topic].publishers;
}

Health MemorySource::health() {
  const std::scoped_lock lock(mutex_);
  return health_;
}

LiveEvent MemorySource::view(const Log& log, Offset offset) {
  const Stored& event = log.events[offset.value()];
  return {offset, event.record_time, PublisherId(1), Epoch(1), FrameView(event.frame.data())};
}

std::uint64_t MemorySource::poll(const Handler& handler, std::size_t limit) {
  if (held_) return 0;
  const std::scoped_lock lock(mutex_);
  std::uint64_t count = 0;
  for (std::size_t topic = 0; topic < logs_.size(); ++topic) {
    Log& log = logs_[topic];
    for (; log.polled < log.info.next && count < limit; ++count) {
      const Offset offset = log.polled;
      ++log.polled;
      handler(topic, view(log, offset));
    }
  }
  return count;
}

RunBegin MemorySource::run(std::size_t topic) {
  const std::scoped_lock lock(mutex_);
  return {logs_[topic].info.run, logs_[topic].run_begin};
}

Offset MemorySource::synced_end(std::size_t topic) {
  const std::scoped_lock lock(mutex_);
  return std::min(logs_[topic].synced, logs_[topic].polled);
}

class MemoryReplay final : public Replay {
 public:
  MemoryReplay(MemorySource& source, std::size_t topic, Offset next, Level level)
      : source_(source), topic_(topic), next_(next), level_(level) {}

  [[nodiscard]] Offset next() const override { return next_; }
  [[nodiscard]] RunBegin run() const override { return source_.run(topic_); }

 private:
  [[nodiscard]] Result<std::size_t> read_some(const Handler& handler, std::size_t limit) override {
    if (next_.value() >= source_.reads_held_from_) {
      ++source_.reads_waiting_;
      while (next_.value() >= source_.reads_held_from_) std::this_thread::yield();
      --source_.reads_waiting_;
    }
    const std::scoped_lock lock(source_.mutex_);
    const auto& log = source_.logs_[topic_];
    if (next_ < log.info.first) return fail_deleted(next_, log.info.first);
    std::size_t count = 0;
    for (; next_ < log.end(level_) && count < limit; ++count) {
      if (log.damage && next_ == log.damage->first) {
        if (!std::exchange(told_, true)) return fail(ErrorCode::corrupt, "the log is damaged");
        next_ = log.damage->second;
      }
      handler(MemorySource::view(log, next_));
      ++next_;
    }
    return count;
  }

  MemorySource& source_;
  std::size_t topic_;
  Offset next_;
  Level level_;
  bool told_ = false;  // of the damage
};

Result<std::unique_ptr<Replay>> MemorySource::replay(std::size_t topic, const ReplayStart& start, Level level) {
  ++replays_;
  const std::scoped_lock lock(mutex_);
  const Log& log = logs_[topic];
  const auto found = find(log, start, log.end(level));
  if (!found) return fail(found.error());
  return std::make_unique<MemoryReplay>(*this, topic, *found, level);
}

Result<Offset> MemorySource::find(const Log& log, const ReplayStart& start, Offset end) {
  Offset next = log.info.first;
  if (const auto* offset = std::get_if<Offset>(&start)) next = *offset;
  if (const auto* position = std::get_if<Position>(&start)) {
    if (position->run > log.info.run) return fail(ErrorCode::rolled_back, "that run has never been");
    next = position->offset;
  }
  if (const auto* time = std::get_if<WallTime>(&start)) {
    while (next < end && log.events[next.value()].record_time < *time) ++next;
  }
  if (next < log.info.first) return fail_deleted(next, log.info.first);
  if (next > end) return fail(ErrorCode::invalid_argument, "the next offset is " + std::to_string(end.value()));
  return next;
}

// As the core keeps it: one owner, fenced by the generation.
class MemoryName final : public HeldName {
 public:
  MemoryName(MemorySource& source, std::string name, const MemorySource::Consumer& consumer)
      : source_(source), name_(std::move(name)), generation_(consumer.generation), begin_(consumer.checkpoint) {}
  ~MemoryName() override {
    const std::scoped_lock lock(source_.mutex_);
    if (own().generation != generation_) return;
    own().held = false;
    own().checkpoint = own().acked;
  }

  [[nodiscard]] Offset begin() const override { return begin_; }
  [[nodiscard]] Status look() override {
    const std::scoped_lock lock(source_.mutex_);
    if (own().generation != generation_) return fail(ErrorCode::fenced, "another has the name: subscribe anew");
    return {};
  }
  void sent(Offset next) override {
    const std::scoped_lock lock(source_.mutex_);
    if (own().generation == generation_) own().sent = next;
  }
  [[nodiscard]] Status ack(Offset end) override {
    MILLRACE_TRY(look());
    const std::scoped_lock lock(source_.mutex_);
    own().acked = std::max(own().acked, end);
    if (!source_.checkpoints_held_) own().checkpoint = own().acked;
    return {};
  }
  [[nodiscard]] Offset acked() const override {
    const std::scoped_lock lock(source_.mutex_);
    return own().acked;
  }
  [[nodiscard]] Offset checkpoint() const override {
    const std::scoped_lock lock(source_.mutex_);
    return own().checkpoint;
  }

 private:
  [[nodiscard]] MemorySource::Consumer& own() const { return source_.consumers_.at(name_); }

  MemorySource& source_;
  std::string name_;
  std::uint64_t generation_;
  Offset begin_;
};

Status MemorySource::last_values(std::size_t topic, Offset end, const Replay::Handler& handler) {
  const std::scoped_lock lock(mutex_);
  const Log& log = logs_[topic];
  if (end < log.info.first) return fail(ErrorCode::deleted, "retention deleted what comes before");
  std::map<std::string, Offset> newest;
  std::string scratch;
  for (Offset offset = log.info.first; offset < end; ++offset) {
    const auto payload = view(log, offset).frame.payload();
    if (!log.info.type->verify(payload)) continue;
    const auto key = log.info.type->snapshot_key(payload, scratch);
    if (!key.empty()) newest[std::string(key)] = offset;
  }
  std::set<Offset> offsets;
  for (const auto& [key, offset] : newest) offsets.insert(offset);
  for (const Offset offset : offsets) handler(view(log, offset));
  return {};
}

Result<std::unique_ptr<HeldName>> MemorySource::hold(std::size_t topic, const HoldRequest& request) {
  while (claims_held_) std::this_thread::yield();
  const std::scoped_lock lock(mutex_);
  const Log& log = logs_[topic];
  const auto start = request.start ? find(log, *request.start, log.synced) : Result<Offset>(log.synced);
  if (!start) return fail(start.error());
  const auto [at, is_new] = consumers_.try_emplace(request.consumer, Consumer{*start, *start, *start});
  Consumer& consumer = at->second;
  if (consumer.held && !request.take_over) return fail(ErrorCode::in_use, "the name is held: end who has it");
  ++consumer.generation;
  consumer.held = true;
  consumer.acked = consumer.sent = consumer.checkpoint;
  return std::make_unique<MemoryName>(*this, request.consumer, consumer);
}

}  // namespace millrace::gateway::testing
