// The model's part that is about single events and durable consumers: what somebody was told by name.
#include "bus/simulation/model.hpp"

namespace millrace::simulation {

void Model::reopened(Run run, Offset begin, bool held) {
  if (runs_.contains(run)) return;  // all is written again as it was
  if (begin < synced_end_ || begin > recorded_end_) fail("a topic is reopened at an offset that nobody can know");
  recorded_end_ = begin;
  run_began(run, begin);
  forget_unsynced(held);
}

// What was said to be recorded need not have its offset any more, nor, if it is not held, be there at all.
void Model::forget_unsynced(bool held) {
  for (auto& [id, publisher] : publishers_) {
    for (auto& [epoch, recorded] : publisher.recorded) recorded = publisher.synced[epoch];
    for (auto& [sequence, events] : publisher.events) {
      for (Committed& event : events) {
        event.told_recorded = event.told_synced;
        event.acked_recorded = event.acked_synced;
        if (!held) event.kept = event.told_synced;
      }
    }
  }
}

void Model::acknowledged(const PublishPosition& position, bool synced) {
  Committed* event = find(position.publisher, position.epoch, position.sequence);
  if (event == nullptr) return fail("an event is acknowledged that nobody published");
  (synced ? event->acked_synced : event->acked_recorded) = true;
  if (event->never) {
    fail(publishers_[position.publisher].name + ": sequence " + std::to_string(position.sequence.value()) +
         " is acknowledged, and was said never to be in the log");
  }
}

void Model::never(const PublishPosition& position, const std::string& why) {
  Committed* event = find(position.publisher, position.epoch, position.sequence);
  if (event == nullptr) return fail("an event is " + why + " that nobody published");
  event->never = true;
  const std::string what = publishers_[position.publisher].name + " epoch " + std::to_string(position.epoch.value()) +
                           ": sequence " + std::to_string(position.sequence.value()) + " is " + why;
  if (event->acked_recorded || event->acked_synced) return fail(what + ", and was acknowledged");
  const auto where = offsets_.find({position.publisher, position.sequence});
  if (where != offsets_.end() && places_.at(where->second).epoch == position.epoch) {
    fail(what + ", and is at offset " + std::to_string(where->second.value()));
  }
}

// Declared lost, whoever published them.
void Model::never(PublisherId id, Sequence from, Sequence to) {
  auto& events = publishers_[id].events;
  for (auto at = events.lower_bound(from); at != events.end() && at->first <= to; ++at) {
    for (const Committed& event : at->second) never({id, event.epoch, at->first}, "declared lost");
  }
}

void Model::decided(const PublishPosition& position, const Outcome& outcome) {
  switch (outcome.fate) {
    case Fate::pending:
      return;
    case Fate::not_recorded:
      return never(position, "not recorded");
    case Fate::lost:
      return never(position, "lost");
    case Fate::recorded:
    case Fate::synced:
      acknowledged(position, outcome.fate == Fate::synced);
  }
  const auto where = offsets_.find({position.publisher, position.sequence});
  if (where != offsets_.end() && where->second != outcome.offset) {
    fail("an event's outcome has another offset than " + std::to_string(where->second.value()));
  }
}

void Model::consumer_begins(const std::string& name, Offset offset, bool created) {
  Consumer& consumer = consumers_[name];
  if (created) {
    if (consumer.shown) fail("consumer " + name + " was durable and is gone");
    consumer.acked = offset;
  }
  if (consumer.shown && offset < *consumer.shown) {
    fail("consumer " + name + " begins at " + std::to_string(offset.value()) + ", but durably acknowledged " +
         std::to_string(consumer.shown->value()));
  }
  if (offset > consumer.acked) {
    fail("consumer " + name + " begins at " + std::to_string(offset.value()) + ", but acknowledged " +
         std::to_string(consumer.acked.value()));
  }
  if (offset > synced_end_) fail("consumer " + name + " begins at what is not synced");
}

void Model::consumer_acked(const std::string& name, Offset end) {
  consumers_[name].acked = std::max(consumers_[name].acked, end);
}

void Model::consumer_mark(const std::string& name, Offset acked) {
  Consumer& consumer = consumers_[name];
  const std::string what = "consumer " + name + "'s checkpoint is " + std::to_string(acked.value());
  if (consumer.shown && acked < *consumer.shown) {
    return fail(what + ", and was " + std::to_string(consumer.shown->value()));
  }
  if (acked > consumer.acked) return fail(what + ", but acknowledged is " + std::to_string(consumer.acked.value()));
  if (acked > synced_end_) return fail(what + ", but synced is " + std::to_string(synced_end_.value()));
  consumer.shown = acked;
}

void Model::consumed(const PublishPosition& position, const std::string& name) {
  acknowledged(position, true);
  const Consumer& consumer = consumers_[name];
  const auto where = offsets_.find({position.publisher, position.sequence});
  if (!consumer.shown || (where != offsets_.end() && where->second >= *consumer.shown)) {
    fail("consumer " + name + " is said to have dealt with an event that it has not acknowledged durably");
  }
}

}  // namespace millrace::simulation
