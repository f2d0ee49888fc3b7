#include "bus/daemon/watch.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using control::PublisherState;
using control::TopicState;
using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;

constexpr auto watch_interval = 50ms;

HealthState to_health(PublisherState state) {
  switch (state) {
    case PublisherState::healthy:
      return HealthState::healthy;
    case PublisherState::degraded:
      return HealthState::degraded;
    case PublisherState::failed:
      return HealthState::failed;
    case PublisherState::closed:
      return HealthState::closed;
    case PublisherState::disconnected:
      return HealthState::disconnected;
    case PublisherState::dead:
      return HealthState::dead;
  }
  return HealthState::none;
}

HealthState to_health(TopicState state) {
  switch (state) {
    case TopicState::ok:
      return HealthState::ok;
    case TopicState::disk_stalled:
      return HealthState::disk_stalled;
    case TopicState::failed:
      return HealthState::failed;
  }
  return HealthState::none;
}

}  // namespace

Watch::Watch(const Config& config, std::vector<std::unique_ptr<Topic>>& topics, const Disk& disk,
             control::Server& server, HealthJournal& health, const Incarnation& core)
    : config_(config),
      topics_(topics),
      disk_(disk),
      server_(server),
      health_(health),
      core_(core),
      topic_health_(topics.size()) {}

void Watch::set_state(const Topic& topic, Owner& owner, PublisherState state, HealthReason reason,
                      std::int64_t number) {
  if (owner.state == state) return;
  health_.add({HealthSubject::publisher, owner.name, topic.config().name, to_health(owner.state), to_health(state),
               reason, number});
  owner.state = state;
}

void Watch::do_work(MonotonicTime now) {
  if (now - watched_ < watch_interval) return;
  watched_ = now;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    const RecorderReport report = disk_.report(i);
    watch_topic(i, report, now);
    for (std::size_t s = 0; s < topics_[i]->streams().size(); ++s) watch_publisher(*topics_[i], s, report, now);
  }
}

void Watch::watch_topic(std::size_t index, const RecorderReport& report, MonotonicTime now) {
  TopicState state = TopicState::ok;
  HealthReason why = HealthReason::recovered;
  std::string reason;
  const auto in_io = disk_.in_io_since();
  if (report.state == TopicRecorder::State::failed) {
    state = TopicState::failed;
    why = HealthReason::disk_failed;
    reason = report.failure;
  } else if (report.state == TopicRecorder::State::no_space) {
    state = TopicState::disk_stalled;
    why = HealthReason::no_space;
    reason = report.failure;
  } else if (in_io && now - *in_io > config_.heartbeat_interval) {
    state = TopicState::disk_stalled;
    why = HealthReason::disk_slow;
    reason = "one disk operation has taken " + std::to_string((now - *in_io) / 1ms) + " ms so far";
  }
  TopicHealth& health = topic_health_[index];
  if (state != health.state) {
    health_.add({HealthSubject::topic, topics_[index]->config().name, topics_[index]->config().name,
                 to_health(health.state), to_health(state), why});
  }
  health = {state, std::move(reason)};
}

// What shows life is a word that the publisher bumps, or events of its own: a process that hangs has neither.
void Watch::watch_publisher(Topic& topic, std::size_t stream, const RecorderReport& report, MonotonicTime now) {
  Owner& owner = topic.streams()[stream].owner;
  if (owner.phase != Owner::Phase::writing || owner.incarnation == core_) return;
  if (stream < report.stopped.size() && !report.stopped[stream].empty()) {
    if (owner.state == PublisherState::failed) return;
    owner.reason = report.stopped[stream];
    set_state(topic, owner, PublisherState::failed, HealthReason::checksum_mismatch);
    control::PublisherStoppedT stopped;
    stopped.topic = topic.config().name;
    stopped.publisher_name = owner.name;
    stopped.reason = owner.reason;
    return server_.send(owner.client, control::make_message(std::move(stopped)));
  }
  const std::uint64_t progress =
      topic.streams()[stream].pages->ring().header().publisher.progress.load(std::memory_order_relaxed) +
      topic.marks().streams[stream].recorded_sequence.load(std::memory_order_relaxed);
  if (progress != owner.progress) {
    owner.progress = progress;
    owner.progress_seen = now;
    owner.reason.clear();
    if (owner.connected) set_state(topic, owner, PublisherState::healthy, HealthReason::recovered);
    return;
  }
  const auto silent = now - owner.progress_seen;
  if (!owner.connected || silent <= config_.heartbeat_timeout) return;
  owner.reason = "no progress for " + std::to_string(silent / 1ms) + " ms";
  set_state(topic, owner, silent > 2 * config_.heartbeat_timeout ? PublisherState::failed : PublisherState::degraded,
            HealthReason::no_progress, silent.count());
}

}  // namespace millrace::daemon
