#include "bus/daemon/watch.hpp"

#include <algorithm>
#include <utility>

#include "bus/base/log.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using control::ConsumerState;
using control::PublisherState;
using control::TopicState;
using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;

constexpr std::chrono::nanoseconds watch_interval_max = 50ms;
constexpr std::chrono::nanoseconds away_min = 10ms;  // what a busy host does to any thread

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

HealthState to_health(ConsumerState state) {
  switch (state) {
    case ConsumerState::none:
      return HealthState::none;
    case ConsumerState::live:
      return HealthState::live;
    case ConsumerState::catching_up:
      return HealthState::catching_up;
    case ConsumerState::lagging:
      return HealthState::lagging;
    case ConsumerState::stalled:
      return HealthState::stalled;
  }
  return HealthState::none;
}

// Why a subscription is `after` now, and the number that belongs to it.
std::pair<HealthReason, std::int64_t> why(ConsumerState before, ConsumerState after, const ConsumerHealth& health,
                                          std::uint64_t position, MonotonicTime since, MonotonicTime now) {
  if (after == ConsumerState::stalled) return {HealthReason::no_progress, health.silent(now).count()};
  if (after == ConsumerState::lagging) return {HealthReason::lag_above_limit, static_cast<std::int64_t>(health.lag())};
  if (before == ConsumerState::none) return {HealthReason::started, static_cast<std::int64_t>(position)};
  if (before == ConsumerState::stalled) return {HealthReason::recovered, (now - since).count()};
  return {HealthReason::caught_up, static_cast<std::int64_t>(position)};
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
      topic_health_(topics.size()),
      consumers_(topics.size()),
      durable_(topics.size()) {}

void Watch::do_work(MonotonicTime now) {
  const std::chrono::nanoseconds away = stepped_ == MonotonicTime() ? 0ns : now - stepped_;
  stepped_ = now;
  if (away > std::max(away_min, config_.heartbeat_timeout / 4)) {
    log().warn("the control loop did not run for {} ms: nobody is judged by that time", away / 1ms);
    health_.add({HealthSubject::core, "millraced", "", HealthState::healthy, HealthState::healthy,
                 HealthReason::loop_stalled, away.count()});
    begin_anew(now);
  }
  if (now - watched_ < std::min(watch_interval_max, config_.heartbeat_timeout / 4)) return;
  watched_ = now;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    const RecorderReport report = disk_.report(i);
    watch_topic(i, report, now);
    for (std::size_t s = 0; s < topics_[i]->streams().size(); ++s) watch_publisher(*topics_[i], s, report, now);
    watch_consumers(i, now);
    watch_durable(i, report);
  }
}

void Watch::begin_anew(MonotonicTime now) {
  began_ = now;
  for (const auto& topic : topics_) {
    for (Stream& stream : topic->streams()) stream.owner.progress_seen = now;
  }
  for (auto& consumers : consumers_) {
    for (auto& [id, consumer] : consumers) consumer.health.restart(now);
  }
}

void Watch::set_state(const Topic& topic, Owner& owner, PublisherState state, HealthReason reason,
                      std::int64_t number) {
  if (owner.state == state) return;
  if (reason == HealthReason::recovered) number = (stepped_ - owner.state_since).count();
  health_.add({HealthSubject::publisher, owner.name, topic.config().name, to_health(owner.state), to_health(state),
               reason, number});
  owner.state = state;
  owner.state_since = stepped_;
}

void Watch::watch_topic(std::size_t index, const RecorderReport& report, MonotonicTime now) {
  TopicState state = TopicState::ok;
  HealthReason why = HealthReason::recovered;
  std::string reason;
  TopicHealth& health = topic_health_[index];
  std::int64_t number = 0;
  const auto in_io = disk_.in_io_since();
  const auto io_time = in_io ? now - std::max(*in_io, began_) : 0ns;
  if (report.state == TopicRecorder::State::failed) {
    state = TopicState::failed;
    why = HealthReason::disk_failed;
    reason = report.failure;
  } else if (report.state == TopicRecorder::State::no_space) {
    state = TopicState::disk_stalled;
    why = HealthReason::no_space;
    reason = report.failure;
  } else if (io_time > config_.heartbeat_interval) {
    state = TopicState::disk_stalled;
    why = HealthReason::disk_slow;
    number = io_time.count();
    reason = "one disk operation has taken " + std::to_string(io_time / 1ms) + " ms so far";
  }
  if (state != health.state) {
    if (why == HealthReason::recovered) number = (now - health.since).count();
    health_.add({HealthSubject::topic, topics_[index]->config().name, topics_[index]->config().name,
                 to_health(health.state), to_health(state), why, number});
    health.since = now;
  }
  health.state = state;
  health.reason = std::move(reason);
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
  const ring::Pages& pages = *topic.streams()[stream].pages;
  const std::uint64_t progress =
      pages.ring().header().publisher.progress.load(std::memory_order_relaxed) + pages.committed();
  if (progress != owner.progress) {
    owner.progress = progress;
    owner.progress_seen = now;
    owner.reason.clear();
    if (owner.connected) set_state(topic, owner, PublisherState::healthy, HealthReason::recovered);
    return;
  }
  // Not held against it: no connection is a state of its own, and without a page it can do nothing.
  if (!owner.connected || pages.starved()) owner.progress_seen = now;
  const auto silent = now - owner.progress_seen;
  if (silent <= config_.heartbeat_timeout) return;
  owner.reason = "no progress for " + std::to_string(silent / 1ms) + " ms";
  set_state(topic, owner, silent > 2 * config_.heartbeat_timeout ? PublisherState::failed : PublisherState::degraded,
            HealthReason::no_progress, silent.count());
}

void Watch::watch_consumers(std::size_t index, MonotonicTime now) {
  const Topic& topic = *topics_[index];
  auto& consumers = consumers_[index];
  const auto& marks = topic.marks().topic;
  const std::uint64_t recorded = marks.recorded_end.load(std::memory_order_acquire);
  const std::uint64_t synced = marks.synced_end.load(std::memory_order_acquire);
  for (auto& [id, consumer] : consumers) consumer.listed = false;
  for (const auto& [id, subscription] : topic.subscriptions()) {
    Consumer& consumer =
        consumers.try_emplace(id, Consumer{subscription.name, ConsumerHealth(subscription.attached_at, now)})
            .first->second;
    consumer.listed = true;
    const auto& words = subscription.words().state;
    const std::uint64_t position = words.position.load(std::memory_order_relaxed);
    const ConsumerState before = consumer.health.state();
    const MonotonicTime since = consumer.health.since();
    consumer.health.look({subscription.level, words.progress.load(std::memory_order_relaxed), position,
                          subscription.level == Level::synced ? synced : recorded},
                         limits(), now);
    const ConsumerState after = consumer.health.state();
    if (after == before) continue;
    const auto [reason, number] = why(before, after, consumer.health, position, since, now);
    add(topic, consumer, to_health(before), to_health(after), reason, number);
  }
  std::erase_if(consumers, [&](const auto& entry) {
    const Consumer& consumer = entry.second;
    if (consumer.listed) return false;
    add(topic, consumer, to_health(consumer.health.state()), HealthState::closed, HealthReason::said_goodbye);
    return true;
  });
}

// Whether the log is, or soon will be, deleted under a durable consumer; also one that nobody has just now.
void Watch::watch_durable(std::size_t index, const RecorderReport& report) {
  using State = wal::OverrunAlarm::State;
  const std::string& topic = topics_[index]->config().name;
  std::map<std::string, wal::OverrunAlarm> before = std::exchange(durable_[index], {});
  for (const Consumers::View& consumer : topics_[index]->consumers().list()) {
    const std::string& name = consumer.record.name;
    const Offset wanted = consumer.record.acked;
    wal::OverrunAlarm& alarm = durable_[index][name] = before[name];
    const State was = alarm.state();
    const State is = alarm.look(wanted, report.first_offset, report.overrun);
    if (is == was) continue;
    HealthChange change{HealthSubject::consumer,
                        name,
                        topic,
                        was == State::safe ? HealthState::live : HealthState::lagging,
                        is == State::safe ? HealthState::live : HealthState::lagging,
                        HealthReason::caught_up,
                        static_cast<std::int64_t>(wanted.value())};
    if (is == State::overrun) {
      change.reason = HealthReason::overrun;
      change.number = static_cast<std::int64_t>(report.first_offset.value());
      log().error("topic {}: consumer {} was overrun: the events from offset {} to before {} are deleted", topic, name,
                  wanted.value(), report.first_offset.value());
    } else if (is == State::near) {
      change.reason = HealthReason::overrun_near;
      log().warn(
          "topic {}: consumer {} still wants offset {}, which will soon be deleted: raise retention_bytes, free "
          "some space, or let it read faster",
          topic, name, wanted.value());
    }
    health_.add(std::move(change));
  }
}

void Watch::on_dead(std::size_t topic, const Incarnation& client) {
  for (const auto& [id, subscription] : topics_[topic]->subscriptions()) {
    const auto it = consumers_[topic].find(id);
    if (subscription.client != client || it == consumers_[topic].end()) continue;
    add(*topics_[topic], it->second, to_health(it->second.health.state()), HealthState::dead,
        HealthReason::process_ended);
    consumers_[topic].erase(it);
  }
}

void Watch::add(const Topic& topic, const Consumer& consumer, HealthState before, HealthState after,
                HealthReason reason, std::int64_t number) {
  const bool ends = after == HealthState::closed || after == HealthState::dead;
  if (ends && before == HealthState::none) return;  // nothing was ever said of it
  health_.add({HealthSubject::consumer, consumer.name, topic.config().name, before, after, reason, number});
}

Watch::Judgement Watch::consumer(std::uint64_t subscription) const {
  for (const auto& consumers : consumers_) {
    const auto it = consumers.find(subscription);
    if (it != consumers.end()) return {it->second.health.state(), it->second.health.reason(limits(), stepped_)};
  }
  return {};
}

}  // namespace millrace::daemon
