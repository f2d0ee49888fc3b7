// The bus as the gateway's source: an ordinary follower a topic at level recorded, and the logs, read only.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "bus/bus.hpp"
#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway {

class BusSource final : public EventSource {
 public:
  // Subscribes to every topic of the core. `bus` outlives it. Errors: those of Bus::subscribe.
  [[nodiscard]] static Result<std::unique_ptr<BusSource>> open(Bus& bus, const Clock& clock = system_clock());

  [[nodiscard]] std::vector<TopicInfo> topics() override;
  [[nodiscard]] std::vector<PublisherInfo> publishers(std::size_t topic) override;
  [[nodiscard]] Health health() override;
  std::uint64_t poll(const Handler& handler, std::size_t limit) override;
  [[nodiscard]] Result<std::unique_ptr<Replay>> replay(std::size_t topic, const ReplayStart& start) override;

 private:
  struct Topic {
    TopicDescription description;
    Subscriber subscriber;
    Offset first{};
    // Recorded end as last seen by poll(): how far a replay may read. On the heap, for replays on other threads.
    std::shared_ptr<std::atomic<std::uint64_t>> end = std::make_shared<std::atomic<std::uint64_t>>(0);
    LogId log_id{};
    Run run{};
  };

  BusSource(Bus& bus, const Clock& clock) : bus_(bus), clock_(clock) {}
  void look_at_logs();

  Bus& bus_;
  const Clock& clock_;
  std::vector<Topic> topics_;
  std::size_t turn_ = 0;  // which topic is polled first
  Result<control::StatusReportT> status_ = fail(ErrorCode::disconnected, "not asked yet");
  MonotonicTime logs_seen_;
};

}  // namespace millrace::gateway
