#include "subscribers/realtime/testing/memory_source.hpp"

#include <algorithm>
#include <cstring>

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
  log.publishers.front().last = sequence;
  return offset;
}

void MemorySource::forget_before(std::size_t topic, Offset offset) {
  const std::scoped_lock lock(mutex_);
  logs_[topic].info.first = offset;
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

class MemoryReplay final : public Replay {
 public:
  MemoryReplay(MemorySource& source, std::size_t topic, Offset next) : source_(source), topic_(topic), next_(next) {}

  [[nodiscard]] Offset next() const override { return next_; }
  [[nodiscard]] Result<std::size_t> read(const Handler& handler, std::size_t limit) override {
    const std::scoped_lock lock(source_.mutex_);
    const auto& log = source_.logs_[topic_];
    if (next_ < log.info.first) return fail(ErrorCode::deleted, "retention deleted what comes next");
    std::size_t count = 0;
    for (; next_ < log.info.next && count < limit; ++count) {
      handler(MemorySource::view(log, next_));
      ++next_;
    }
    return count;
  }

 private:
  MemorySource& source_;
  std::size_t topic_;
  Offset next_;
};

Result<std::unique_ptr<Replay>> MemorySource::replay(std::size_t topic, const ReplayStart& start) {
  ++replays_;
  const std::scoped_lock lock(mutex_);
  const Log& log = logs_[topic];
  Offset next = log.info.first;
  if (const auto* offset = std::get_if<Offset>(&start)) next = *offset;
  if (const auto* position = std::get_if<Position>(&start)) {
    if (position->run > log.info.run) return fail(ErrorCode::rolled_back, "that run has never been");
    next = position->offset;
  }
  if (const auto* time = std::get_if<WallTime>(&start)) {
    while (next < log.info.next && log.events[next.value()].record_time < *time) ++next;
  }
  if (next < log.info.first) {
    return fail(ErrorCode::deleted, "the oldest event is " + std::to_string(log.info.first.value()));
  }
  if (next > log.info.next) {
    return fail(ErrorCode::invalid_argument, "the next offset is " + std::to_string(log.info.next.value()));
  }
  return std::make_unique<MemoryReplay>(*this, topic, next);
}

}  // namespace millrace::gateway::testing
