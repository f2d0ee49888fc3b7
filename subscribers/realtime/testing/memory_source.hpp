// An EventSource in memory for tests and for gateway_fake: a list of frames for each topic, with one publisher.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway::testing {

// A whole frame around this payload.
[[nodiscard]] std::vector<std::byte> make_frame(Sequence sequence, WallTime time, Key key,
                                                std::span<const std::byte> payload);

// Any thread may publish; the rest as EventSource says.
class MemorySource final : public EventSource {
 public:
  // Each topic has the name of its built-in event type.
  explicit MemorySource(const std::vector<std::string>& topics);

  // The event as JSON, as its type wants it. Events begin at record time 1'700'000'000 s and come a millisecond apart,
  // unless `now` says otherwise.
  Offset publish(std::size_t topic, std::string_view json, std::optional<WallTime> now = std::nullopt);
  // A trade (in a topic of another type: its event) of that instrument; a trade's id is its offset.
  Offset publish_numbered(std::size_t topic, std::string_view instrument);
  // A payload that no verifier accepts.
  Offset publish_garbage(std::size_t topic);
  // As retention would: older ones are gone from the log.
  void forget_before(std::size_t topic, Offset offset);
  // The log is damaged from there up to, not including, `to`: each reader is told once, and would go on behind it.
  void damage(std::size_t topic, Offset from, Offset to);
  // Whoever reads the log from there on waits; `nowhere`: nobody does.
  static constexpr Offset nowhere{UINT64_MAX};
  void hold_reads(Offset from) { reads_held_from_ = from.value(); }
  [[nodiscard]] bool holds_a_read() const { return reads_waiting_ > 0; }
  // The next event's sequence is as much higher, as if those between had not been recorded.
  void skip_sequences(std::size_t topic, std::uint64_t count);
  // While held, the feeder gets nothing: the log runs ahead of it.
  void hold_poll(bool held) { held_ = held; }
  // What is published is synced at once, unless this is held; then sync() says how far.
  void hold_sync(bool held) { sync_held_ = held; }
  void sync(std::size_t topic, Offset end);
  // As a reopened disk may: what is not synced is void, and its offsets are given out again in a new run.
  void roll_back(std::size_t topic);
  // As a core that is started anew does: all that there is stands.
  void begin_run(std::size_t topic);
  // While held, nobody gets an answer of the core; others wait for nobody.
  void hold_claims(bool held) { claims_held_ = held; }
  // As `millrace consumers reset` does.
  void reset_consumer(const std::string& name, Offset offset);
  // Nothing acknowledged becomes durable.
  void hold_checkpoints(bool held) { checkpoints_held_ = held; }
  struct Consumer {
    Offset acked;
    Offset checkpoint;
    Offset sent;
    std::uint64_t generation = 0;
    bool held = false;
  };
  [[nodiscard]] std::optional<Consumer> consumer(const std::string& name) const;
  void set_health(Health health);
  void set_topic_state(std::size_t topic, TopicState state, const std::string& reason);
  void set_publisher_state(std::size_t topic, PublisherState state);
  [[nodiscard]] std::size_t replays() const { return replays_.load(); }

  [[nodiscard]] std::vector<TopicInfo> topics() override;
  [[nodiscard]] std::vector<PublisherInfo> publishers(std::size_t topic) override;
  [[nodiscard]] Health health() override;
  std::uint64_t poll(const Handler& handler, std::size_t limit) override;
  [[nodiscard]] Offset synced_end(std::size_t topic) override;
  [[nodiscard]] RunBegin run(std::size_t topic) override;
  [[nodiscard]] Result<std::unique_ptr<Replay>> replay(std::size_t topic, const ReplayStart& start,
                                                       Level level) override;
  [[nodiscard]] Status last_values(std::size_t topic, Offset end, const Replay::Handler& handler) override;
  [[nodiscard]] Result<std::unique_ptr<HeldName>> hold(std::size_t topic, const HoldRequest& request) override;

 private:
  friend class MemoryReplay;
  friend class MemoryName;
  struct Stored {
    WallTime record_time;
    std::vector<std::byte> frame;
  };
  struct Log {
    TopicInfo info;
    std::vector<PublisherInfo> publishers;
    std::deque<Stored> events;  // all of them, from offset 0
    Offset polled;
    Offset synced;
    std::uint64_t skipped = 0;
    bool begun = false;
    Offset run_begin;
    std::optional<std::pair<Offset, Offset>> damage;

    [[nodiscard]] Offset end(Level level) const { return level == Level::synced ? synced : info.next; }
  };
  Offset append(std::size_t topic, Key key, std::span<const std::byte> payload, std::optional<WallTime> now);
  [[nodiscard]] static Result<Offset> find(const Log& log, const ReplayStart& start, Offset end);
  [[nodiscard]] static LiveEvent view(const Log& log, Offset offset);

  mutable std::mutex mutex_;
  schemas::Registry registry_ = schemas::Registry::built_in();
  std::deque<Log> logs_;
  Health health_;
  std::atomic<std::size_t> replays_{0};
  std::atomic<std::uint64_t> reads_held_from_{nowhere.value()};
  std::atomic<int> reads_waiting_{0};
  std::atomic<bool> held_{false};
  std::atomic<bool> sync_held_{false};
  std::atomic<bool> claims_held_{false};
  std::atomic<bool> checkpoints_held_{false};
  std::map<std::string, Consumer> consumers_;
};

}  // namespace millrace::gateway::testing
