// What the publishing processes of a simulation are told of their events.
#include "bus/simulation/actors.hpp"

namespace millrace::simulation {

using namespace std::chrono_literals;

void Simulation::await() {
  if (processes_.empty()) return;
  Process& process = *processes_[pick(processes_.size())];
  const Sequence end = process.batch.empty() ? process.next : process.batch.front().first;
  if (!process.publisher || process.first == end) return;
  const Sequence sequence = process.first + pick(end.value() - process.first.value());
  const std::string consumer = "c" + std::to_string(pick(2));
  const Ack ack = chance(40) ? Ack::recorded() : chance(60) ? Ack::synced() : Ack::consumed(consumer);
  const Acknowledgement known = process.publisher->await(sequence, ack, {0ns, 1});
  if (process.admitted && process.link->state() == PublisherLink::State::attached) process.ring_of = process.asked;
  switch (known.status) {
    case AckStatus::acknowledged:
      ++totals_.acknowledged;
      if (ack.level == Ack::Level::consumed) return model_->consumed(known.position, consumer);
      return model_->acknowledged(known.position, ack.level == Ack::Level::synced);
    case AckStatus::not_recorded:
      ++totals_.given_up;
      say(process.name + " is told that " + std::to_string(sequence.value()) + " is not recorded");
      return model_->never(known.position, "not recorded");
    case AckStatus::disconnected:
      if (process.link->state() == PublisherLink::State::attached) model_->fail("disconnected, but attached");
      return;
    case AckStatus::failed:
      if (process.ring_of == core_ && recording()) model_->fail("a topic that did not fail is said to have");
      return;
    case AckStatus::timed_out:
    case AckStatus::no_consumer:
    case AckStatus::closed:
      return;
  }
}

// Whoever published the event, and lives or not, its name's publisher may ask.
void Simulation::ask_outcome() {
  if (processes_.empty() || positions_.empty()) return;
  const Process& process = *processes_[pick(processes_.size())];
  const PublishPosition position =
      positions_[positions_.size() - 1 - pick(std::min<std::size_t>(positions_.size(), 200))];
  if (!process.publisher || process.publisher->id() != position.publisher) return;
  const auto outcome = process.publisher->outcome(position);
  if (!outcome) {
    const bool deleted =
        outcome.error().code == ErrorCode::deleted && (options_.retention_bytes > 0 || options_.retention_age > 0ns);
    if (!deleted && !(fault_ && files_.failed())) model_->fail("no outcome: " + outcome.error().message);
    return;
  }
  if (outcome->fate == Fate::lost || outcome->fate == Fate::not_recorded) {
    ++totals_.given_up;
    say(process.name + "'s sequence " + std::to_string(position.sequence.value()) + " of epoch " +
        std::to_string(position.epoch.value()) + " is " + std::string(to_string(outcome->fate)));
  }
  model_->decided(position, *outcome);
}

}  // namespace millrace::simulation
