#include "bus/daemon/status_report.hpp"

#include <algorithm>

namespace millrace::daemon {

using control::PublisherState;
using control::TopicState;

namespace {

// One that lags harms nobody: the log has what it misses, and it says so itself. One that stalls hangs, as a publisher
// without progress does.
bool makes_unhealthy(control::ConsumerState state) {
  return state == control::ConsumerState::stalled;
}

}  // namespace

control::StatusReportT report_topics(const std::vector<std::unique_ptr<Topic>>& topics, const Disk& disk,
                                     const Watch& watch) {
  control::StatusReportT report;
  for (std::size_t i = 0; i < topics.size(); ++i) {
    Topic& topic = *topics[i];
    const RecorderReport recorder = disk.report(i);
    auto out = std::make_unique<control::TopicStatusT>();
    out->name = topic.config().name;
    out->state = watch.topic(i).state;
    out->reason = watch.topic(i).reason;
    out->first_offset = recorder.first_offset.value();
    out->recorded_end = topic.marks().topic.recorded_end.load(std::memory_order_acquire);
    out->synced_end = topic.marks().topic.synced_end.load(std::memory_order_acquire);
    out->record_time = static_cast<std::int64_t>(topic.marks().topic.record_time.load(std::memory_order_relaxed));
    out->events = recorder.counters.events;
    out->bytes = recorder.counters.bytes;
    out->not_recorded = recorder.counters.not_recorded;
    if (out->state != TopicState::ok) report.reasons.push_back("topic " + out->name + ": " + out->reason);
    for (std::size_t s = 0; s < topic.streams().size(); ++s) {
      const Owner& owner = topic.streams()[s].owner;
      out->ring_bytes += topic.streams()[s].memory.bytes.size();
      if (owner.phase == Owner::Phase::none) continue;
      auto publisher = std::make_unique<control::PublisherStatusT>();
      publisher->name = owner.name;
      publisher->id = owner.id.value();
      publisher->epoch = owner.epoch.value();
      publisher->pid = owner.pid;
      publisher->state = owner.state;
      publisher->reason = owner.reason;
      publisher->last_sequence = topic.marks().streams[s].recorded_sequence.load(std::memory_order_relaxed);
      if (owner.state == PublisherState::degraded || owner.state == PublisherState::failed) {
        report.reasons.push_back("publisher " + owner.name + " of " + out->name + ": " + owner.reason);
      }
      out->publishers.push_back(std::move(publisher));
    }
    for (const auto& [id, subscription] : topic.subscriptions()) {
      auto subscriber = std::make_unique<control::SubscriberStatusT>();
      subscriber->name = subscription.name;
      subscriber->pid = subscription.pid;
      subscriber->level = static_cast<control::Level>(subscription.level);
      const Watch::Judgement judged = watch.consumer(id);
      subscriber->state = judged.state;
      subscriber->reason = judged.reason;
      if (makes_unhealthy(judged.state)) {
        report.reasons.push_back("subscriber " + subscriber->name + " of " + out->name + ": " + judged.reason);
      }
      if (subscription.level != Level::live) {
        const std::uint64_t end = subscription.level == Level::synced ? out->synced_end : out->recorded_end;
        subscriber->lag = end - std::min(end, subscription.words().state.position.load(std::memory_order_relaxed));
      }
      out->subscribers.push_back(std::move(subscriber));
    }
    for (const Consumers::View& view : topic.consumers().list()) {
      auto consumer = std::make_unique<control::ConsumerStatusT>();
      consumer->name = view.record.name;
      consumer->pid = view.pid;
      consumer->generation = view.record.generation;
      consumer->acked = view.record.acked.value();
      consumer->lag = out->synced_end - std::min(out->synced_end, consumer->acked);
      consumer->updated = view.record.updated.ns;
      out->consumers.push_back(std::move(consumer));
    }
    if (!topic.consumers().failure().empty()) {
      report.reasons.push_back("topic " + out->name + ": checkpoints cannot be stored: " + topic.consumers().failure());
    }
    report.topics.push_back(std::move(out));
  }
  return report;
}

}  // namespace millrace::daemon
