// An EventSource in memory for tests and the page's demonstration: a list of frames a topic, whose payloads are JSON.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway::testing {

// The payload is its own JSON, which begins with '{'. Its key is the text field "instrument".
class JsonPayload final : public PayloadFormat {
 public:
  [[nodiscard]] std::string_view name() const override { return "json_event"; }
  [[nodiscard]] bool verify(std::span<const std::byte> payload) const override;
  void append_json(std::span<const std::byte> payload, std::string& out) const override;
  [[nodiscard]] std::string_view key_field() const override { return "instrument"; }
  [[nodiscard]] std::span<const std::string> filterable() const override { return filterable_; }
  [[nodiscard]] bool matches(std::span<const std::byte> payload, std::string_view field,
                             std::string_view value) const override;

 private:
  std::vector<std::string> filterable_{"instrument", "account"};
};

// A whole frame with this payload; its key is that of `instrument`.
[[nodiscard]] std::vector<std::byte> make_frame(Sequence sequence, WallTime time, std::string_view instrument,
                                                std::string_view payload);

// Any thread may publish; the rest as EventSource says.
class MemorySource final : public EventSource {
 public:
  explicit MemorySource(const std::vector<std::string>& topics);

  // Events begin at record time 1'700'000'000 s and come a millisecond apart, unless `now` says otherwise.
  Offset publish(std::size_t topic, std::string_view instrument, std::string_view payload,
                 std::optional<WallTime> now = std::nullopt);
  // `{"instrument":"<instrument>","n":<offset>}` with `padding` more bytes.
  Offset publish_numbered(std::size_t topic, std::string_view instrument, std::size_t padding = 0);
  // As retention would: older ones are gone from the log.
  void forget_before(std::size_t topic, Offset offset);
  void set_health(Health health);
  void set_publisher_state(std::size_t topic, PublisherState state);
  [[nodiscard]] std::size_t replays() const { return replays_.load(); }

  [[nodiscard]] std::vector<TopicInfo> topics() override;
  [[nodiscard]] std::vector<PublisherInfo> publishers(std::size_t topic) override;
  [[nodiscard]] Health health() override;
  std::uint64_t poll(const Handler& handler, std::size_t limit) override;
  [[nodiscard]] Result<std::unique_ptr<Replay>> replay(std::size_t topic, const ReplayStart& start) override;

 private:
  friend class MemoryReplay;
  struct Stored {
    WallTime record_time;
    std::vector<std::byte> frame;
  };
  struct Log {
    TopicInfo info;
    std::vector<PublisherInfo> publishers;
    std::deque<Stored> events;  // all of them, from offset 0
    Offset polled;
    bool begun = false;
  };
  [[nodiscard]] static LiveEvent view(const Log& log, Offset offset);

  mutable std::mutex mutex_;
  JsonPayload format_;
  std::deque<Log> logs_;
  Health health_;
  std::atomic<std::size_t> replays_{0};
};

}  // namespace millrace::gateway::testing
