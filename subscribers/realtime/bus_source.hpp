// The bus as the gateway's source: an ordinary follower a topic at level recorded, and the logs, read only.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/bus.hpp"
#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway {

// Asks the core how it is, on a thread of its own: a core that stands still is waited for as long as the bus waits.
class CoreStatus final : public Agent {
 public:
  explicit CoreStatus(Bus& bus, const Clock& clock);

  struct Answer {
    control::StatusReportT report;
    MonotonicTime taken;
  };
  // The last there was, null before the first. Any thread; does not wait for the core.
  [[nodiscard]] std::shared_ptr<const Answer> last() const;

 private:
  std::uint64_t do_work(MonotonicTime now) override;

  Bus& bus_;
  const Clock& clock_;
  MonotonicTime asked_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Answer> last_;
  AgentRunner runner_;  // ends first
};

class BusSource final : public EventSource {
 public:
  // As poll() last saw them: how far a replay may read, and in which run the core is. Shared with the
  // replays, which other threads read.
  struct LogEnd {
    std::atomic<std::uint64_t> offset{0};
    std::atomic<std::uint64_t> synced{0};
    std::atomic<std::uint64_t> run{0};
    std::atomic<std::uint64_t> run_begin{0};
    std::atomic<std::uint32_t> failures{0};  // of the topic, as its watermarks count them
  };

  // Subscribes to every topic of the core. `bus` outlives it; its end may wait for an answer of the core, at most as
  // long as `bus` does. Errors: those of Bus::subscribe.
  [[nodiscard]] static Result<std::unique_ptr<BusSource>> open(Bus& bus, const Clock& clock = system_clock());

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
  struct Topic {
    TopicDescription description;
    Subscriber subscriber;
    std::shared_ptr<LogEnd> log_end = std::make_shared<LogEnd>();
  };

  BusSource(Bus& bus, const Clock& clock) : bus_(bus), clock_(clock), status_(bus, clock) {}
  static void look_at_end(Topic& topic);
  [[nodiscard]] const control::TopicStatusT* status_of(const Topic& topic) const;

  Bus& bus_;
  const Clock& clock_;
  std::vector<Topic> topics_;
  std::size_t turn_ = 0;  // which topic is polled first
  CoreStatus status_;
  std::shared_ptr<const CoreStatus::Answer> answer_;  // as of topics()
};

}  // namespace millrace::gateway
