// Judges who is well: publishers and subscriptions by their progress, topics by their recorder and disk. Every change
// of a state is an event on system.health. The control thread's.
//
// Only time in which this thread itself ran counts: where its own steps are far apart, it or the whole host was
// stopped, and everybody's time begins anew.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/control/server.hpp"
#include "bus/daemon/config.hpp"
#include "bus/daemon/consumer_health.hpp"
#include "bus/daemon/disk.hpp"
#include "bus/daemon/health.hpp"
#include "bus/daemon/topic.hpp"

namespace millrace::daemon {

class Watch {
 public:
  struct TopicHealth {
    control::TopicState state = control::TopicState::ok;
    std::string reason;
    MonotonicTime since;
  };
  struct Judgement {
    control::ConsumerState state = control::ConsumerState::none;
    std::string reason;
  };

  // All outlive it. `core`: the incarnation under which the core publishes itself, which is not judged.
  Watch(const Config& config, std::vector<std::unique_ptr<Topic>>& topics, const Disk& disk, control::Server& server,
        HealthJournal& health, const Incarnation& core);

  // At every step of the loop.
  void do_work(MonotonicTime now);

  // What the core knows without looking: attached, gone, dead.
  void set_state(const Topic& topic, Owner& owner, control::PublisherState state, schemas::HealthReason reason,
                 std::int64_t number = 0);
  // A client's process has ended; its subscriptions are still listed.
  void on_dead(std::size_t topic, const Incarnation& client);

  [[nodiscard]] const TopicHealth& topic(std::size_t index) const { return topic_health_[index]; }
  [[nodiscard]] Judgement consumer(std::uint64_t subscription) const;

 private:
  // A subscription, and what is left of it once it is given back.
  struct Consumer {
    std::string name;
    ConsumerHealth health;
    bool listed = true;
  };

  void begin_anew(MonotonicTime now);
  void watch_topic(std::size_t index, const RecorderReport& report, MonotonicTime now);
  void watch_publisher(Topic& topic, std::size_t stream, const RecorderReport& report, MonotonicTime now);
  void watch_consumers(std::size_t index, MonotonicTime now);
  void watch_durable(std::size_t index, const RecorderReport& report);
  void add(const Topic& topic, const Consumer& consumer, schemas::HealthState before, schemas::HealthState after,
           schemas::HealthReason reason, std::int64_t number = 0);
  [[nodiscard]] ConsumerLimits limits() const { return {2 * config_.heartbeat_timeout, config_.lag_limit}; }

  const Config& config_;
  std::vector<std::unique_ptr<Topic>>& topics_;
  const Disk& disk_;
  control::Server& server_;
  HealthJournal& health_;
  Incarnation core_;
  MonotonicTime stepped_;
  MonotonicTime watched_;
  MonotonicTime began_;  // to judge
  std::vector<TopicHealth> topic_health_;
  std::vector<std::map<std::uint64_t, Consumer>> consumers_;       // of each topic, by subscription
  std::vector<std::map<std::string, wal::OverrunAlarm>> durable_;  // of each topic, by name
};

}  // namespace millrace::daemon
