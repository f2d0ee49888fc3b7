#include "publishers/matching/outlet.hpp"

#include <algorithm>
#include <utility>

#include "bus/base/assert.hpp"
#include "schemas/event_template.hpp"

namespace millrace::matching {
namespace {

std::string text_of(std::optional<Cause> cause) {
  if (!cause) return "no order";
  return "order " + std::to_string(cause->offset.value()) + " (its event " + std::to_string(cause->index) + ")";
}

}  // namespace

bool may_try_again(PublishStatus status) {
  return status == PublishStatus::back_pressured || status == PublishStatus::refused ||
         status == PublishStatus::disconnected;
}

Error publish_error(const std::string& topic, PublishStatus status, const Publisher& publisher) {
  const auto why = status == PublishStatus::closed ? publisher.error() : Error{};
  return {why.code, "topic '" + topic + "' takes no more events (" + std::string(to_string(status)) + ")" +
                        (why.message.empty() ? std::string() : ": " + why.message)};
}

BusOutlet::BusOutlet(Publishers publishers) {
  const std::array<Publisher*, kOutputTopics> in_order{&publishers.trades, &publishers.orders, &publishers.depth};
  for (std::size_t i = 0; i < kOutputTopics; ++i) {
    const Sequence recorded(in_order[i]->next_sequence().value() - 1);
    topics_[i] = {kOutputTopicNames[i], in_order[i], recorded, recorded, std::nullopt, std::nullopt};
  }
}

void BusOutlet::make_again_from(const OutputSequences& made, LastOnes last) {
  for (std::size_t i = 0; i < kOutputTopics; ++i) {
    MILLRACE_ASSERT(made[i] <= topics_[i].recorded, "what a snapshot has behind it is in the log");
    topics_[i].made = made[i];
    topics_[i].last = std::move(last[i]);
  }
}

PublishStatus BusOutlet::disagree(const Topic& topic, const std::string& what) {
  error_ = {ErrorCode::sequence_error,
            "topic '" + std::string(topic.name) + "' does not go on where this engine does: " + what +
                "; it was recorded by another engine, by other rules, or from other orders: restore its log, or start "
                "under another publisher's name and with an empty folder of snapshots"};
  return PublishStatus::invalid;
}

template <class Event, class One>
bool BusOutlet::is_last_recorded(const Topic& topic, const Venue& venue, const One& one, std::optional<Cause> cause) {
  static const schemas::EventTemplate<Event> fresh;
  std::vector<std::byte> bytes(fresh.size());
  venue.write(one, *fresh.instantiate(bytes));
  return topic.last->cause == cause && topic.last->payload == bytes;
}

template <class Event, class One>
PublishStatus BusOutlet::send(Topic& topic, const Venue& venue, const One& one, std::optional<Offset> offset) {
  if (topic.cause != offset) topic.index = 0;
  topic.cause = offset;
  std::optional<Cause> cause;
  if (offset) {
    cause = Cause(*offset, static_cast<std::uint16_t>(std::min<std::uint64_t>(topic.index, Cause::index_max)));
  }
  const auto next = topic.made.next();
  if (next <= topic.recorded) {
    if (topic.last && topic.last->sequence == next) {
      if (!is_last_recorded<Event>(topic, venue, one, cause)) {
        return disagree(topic, "event " + std::to_string(next.value()) + " was recorded for " +
                                   text_of(topic.last->cause) + " and now follows from " + text_of(cause) +
                                   ", or has other contents");
      }
      topic.last.reset();
    }
    ++suppressed_;
  } else {
    const auto published = topic.publisher->publish<Event>([&](Event& event) { venue.write(one, event); }, cause);
    if (!published) {
      if (!may_try_again(published.status)) error_ = publish_error(topic.name, published.status, *topic.publisher);
      return published.status;
    }
    if (published.sequence != next) {
      return disagree(
          topic, "event " + std::to_string(next.value()) + " became " + std::to_string(published.sequence.value()));
    }
  }
  topic.made = next;
  ++topic.index;
  return PublishStatus::ok;
}

PublishStatus BusOutlet::publish(const Venue& venue, const Output& output, std::optional<Offset> cause) {
  const auto topic = [this](OutputTopic which) -> Topic& { return topics_[static_cast<std::size_t>(which)]; };
  if (const auto* const trade = std::get_if<Trade>(&output)) {
    return send<schemas::TradeEvent>(topic(OutputTopic::trades), venue, *trade, cause);
  }
  if (const auto* const report = std::get_if<OrderReport>(&output)) {
    return send<schemas::OrderEvent>(topic(OutputTopic::orders), venue, *report, cause);
  }
  return send<schemas::MarketL2>(topic(OutputTopic::depth), venue, std::get<DepthChanged>(output), cause);
}

std::optional<Error> BusOutlet::unexplained() const {
  for (const auto& topic : topics_) {
    if (topic.made >= topic.recorded) continue;
    return Error{ErrorCode::sequence_error,
                 "topic '" + std::string(topic.name) + "' has " + std::to_string(topic.recorded.value()) +
                     " events of this engine, but all orders there are lead to " + std::to_string(topic.made.value()) +
                     "; the orders' log is not the one they came from: restore it, or start under another publisher's "
                     "name and with an empty folder of snapshots"};
  }
  return std::nullopt;
}

bool BusOutlet::making_again() const {
  return std::any_of(topics_.begin(), topics_.end(), [](const Topic& topic) { return topic.made < topic.recorded; });
}

OutputSequences BusOutlet::made() const {
  OutputSequences sequences;
  std::transform(topics_.begin(), topics_.end(), sequences.begin(), [](const Topic& topic) { return topic.made; });
  return sequences;
}

OutputSequences BusOutlet::recorded() const {
  OutputSequences sequences;
  std::transform(topics_.begin(), topics_.end(), sequences.begin(), [](const Topic& topic) { return topic.recorded; });
  return sequences;
}

bool BusOutlet::synced(const OutputSequences& up_to) const {
  for (std::size_t i = 0; i < kOutputTopics; ++i) {
    // What the log had when the publisher was attached was synced with the grant of its epoch.
    if (up_to[i] <= topics_[i].recorded) continue;
    if (up_to[i] > topics_[i].publisher->synced_sequence()) return false;
  }
  return true;
}

void BusOutlet::idle() {
  for (const auto& topic : topics_) topic.publisher->idle();
}

}  // namespace millrace::matching
