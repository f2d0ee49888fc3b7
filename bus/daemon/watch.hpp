// Judges who is well: publishers by their progress, topics by their recorder and disk. Every change of a state is an
// event on system.health. The control thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bus/control/server.hpp"
#include "bus/daemon/config.hpp"
#include "bus/daemon/disk.hpp"
#include "bus/daemon/health.hpp"
#include "bus/daemon/topic.hpp"

namespace millrace::daemon {

class Watch {
 public:
  struct TopicHealth {
    control::TopicState state = control::TopicState::ok;
    std::string reason;
  };

  // All outlive it. `core`: the incarnation under which the core publishes itself, which is not judged.
  Watch(const Config& config, std::vector<std::unique_ptr<Topic>>& topics, const Disk& disk, control::Server& server,
        HealthJournal& health, const Incarnation& core);

  void do_work(MonotonicTime now);

  // What the core knows without looking: attached, gone, dead.
  void set_state(const Topic& topic, Owner& owner, control::PublisherState state, schemas::HealthReason reason,
                 std::int64_t number = 0);

  [[nodiscard]] const TopicHealth& topic(std::size_t index) const { return topic_health_[index]; }

 private:
  void watch_topic(std::size_t index, const RecorderReport& report, MonotonicTime now);
  void watch_publisher(Topic& topic, std::size_t stream, const RecorderReport& report, MonotonicTime now);

  const Config& config_;
  std::vector<std::unique_ptr<Topic>>& topics_;
  const Disk& disk_;
  control::Server& server_;
  HealthJournal& health_;
  Incarnation core_;
  MonotonicTime watched_;
  std::vector<TopicHealth> topic_health_;
};

}  // namespace millrace::daemon
