#include "bus/simulation/model.hpp"

#include <algorithm>
#include <utility>

#include "wal/format.hpp"

namespace millrace::simulation {
namespace {

template <class T>
std::string number(T ordinal) {
  return std::to_string(ordinal.value());
}

}  // namespace

std::uint64_t digest_of(std::span<const std::byte> payload) {
  return wal::checksum_of(payload);
}

void Model::granted(const std::string& name, Incarnation incarnation, PublisherId id, Epoch epoch, Sequence last) {
  for (const auto& [other, publisher] : publishers_) {
    if (other != id && publisher.name == name) fail("the name " + name + " has two ids");
  }
  Publisher& publisher = publishers_[id];
  if (!publisher.name.empty() && publisher.name != name) fail("id " + number(id) + " has two names");
  publisher.name = name;
  if (!publisher.epochs.empty()) {
    const auto& [newest, whose] = *publisher.epochs.rbegin();
    if (epoch < newest) fail(name + " was granted epoch " + number(epoch) + " behind " + number(newest));
    if (epoch == newest && whose != incarnation) fail(name + ": two incarnations have epoch " + number(epoch));
  }
  publisher.epochs[epoch] = incarnation;
  if (const auto own = publisher.recorded.find(epoch); own != publisher.recorded.end() && last < own->second) {
    fail(name + " goes on behind " + number(last) + ", but " + number(own->second) + " was recorded");
  }
}

Model::Committed* Model::find(PublisherId id, Epoch epoch, Sequence sequence) {
  const auto publisher = publishers_.find(id);
  if (publisher == publishers_.end()) return nullptr;
  const auto events = publisher->second.events.find(sequence);
  if (events == publisher->second.events.end()) return nullptr;
  const auto found = std::find_if(events->second.begin(), events->second.end(),
                                  [epoch](const Committed& event) { return event.epoch == epoch; });
  return found == events->second.end() ? nullptr : &*found;
}

void Model::committed(PublisherId id, Epoch epoch, Sequence sequence, std::uint64_t digest, bool kept) {
  if (find(id, epoch, sequence) != nullptr) {
    return fail(publishers_[id].name + " used sequence " + number(sequence) + " twice");
  }
  publishers_[id].events[sequence].push_back({epoch, digest, kept});
}

void Model::offered_again(PublisherId id, Epoch epoch) {
  auto& events = publishers_[id].events;
  for (auto at = events.rbegin(); at != events.rend(); ++at) {
    for (Committed& event : at->second) {
      if (event.epoch != epoch) continue;
      if (event.kept) return;
      event.kept = true;
    }
  }
}

void Model::publisher_marks(PublisherId id, Epoch epoch, Sequence recorded, Sequence synced) {
  Publisher& publisher = publishers_[id];
  const auto follow = [&](Sequence now, Sequence& before, const char* what, bool Committed::*told) {
    if (now < before) {
      return fail(publisher.name + ": its " + what + " watermark went back from " + number(before) + " to " +
                  number(now));
    }
    for (Sequence sequence = before.next(); sequence <= now; ++sequence) {
      const auto events = publisher.events.find(sequence);
      if (events == publisher.events.end()) continue;  // given up, or an earlier incarnation's
      for (Committed& event : events->second) {
        if (event.epoch == epoch) event.*told = true;
      }
    }
    if (now > last_committed(id) && now > before) {
      fail(publisher.name + ": sequence " + number(now) + " is said to be " + what + " and was not published");
    }
    before = now;
  };
  follow(recorded, publisher.recorded[epoch], "recorded", &Committed::told_recorded);
  follow(synced, publisher.synced[epoch], "synced", &Committed::told_synced);
  if (synced > recorded) fail(publisher.name + ": synced " + number(synced) + " beyond recorded " + number(recorded));
}

void Model::run_began(Run run, Offset begin) {
  if (!runs_.empty() && run <= runs_.rbegin()->first) fail("run " + number(run) + " is not a new one");
  const bool kept = marks_known_ && !half_reopened_;
  const Offset least = kept ? recorded_end_ : synced_end_;
  if (begin < least) {
    fail("run " + number(run) + " begins at offset " + number(begin) + ", but " + number(least) + " were " +
         (kept ? "recorded" : "synced"));
  }
  if (std::exchange(half_reopened_, false) && marks_known_ && begin < recorded_end_) forget_unsynced(!may_lose_);
  runs_[run] = begin;
  for (auto at = places_.lower_bound(begin); at != places_.end(); at = places_.erase(at)) {
    offsets_.erase({at->second.publisher, at->second.sequence});
  }
  synced_end_ = std::max(synced_end_, begin);
}

void Model::core_started(Offset next) {
  recorded_end_ = next;
  marks_known_ = true;
}

void Model::topic_marks(Offset recorded_end, Offset synced_end) {
  if (recorded_end < recorded_end_) {
    fail("recorded_end went back from " + number(recorded_end_) + " to " + number(recorded_end));
  }
  if (synced_end < synced_end_) {
    fail("synced_end went back from " + number(synced_end_) + " to " + number(synced_end));
  }
  if (synced_end > recorded_end) fail("synced_end " + number(synced_end) + " beyond recorded " + number(recorded_end));
  recorded_end_ = recorded_end;
  synced_end_ = synced_end;
}

void Model::host_died() {
  marks_known_ = half_reopened_ = false;
  for (auto& [id, publisher] : publishers_) {
    publisher.recorded.clear();
    publisher.synced.clear();
    for (auto& [sequence, events] : publisher.events) {
      for (Committed& event : events) {
        event.kept = event.told_recorded = event.told_synced;
        event.acked_recorded = event.acked_synced;
      }
    }
  }
}

void Model::claim(Offset offset, const Place& place, const char* who) {
  const auto publisher = publishers_.find(place.publisher);
  const std::string name = publisher == publishers_.end() ? "unknown" : publisher->second.name;
  const std::string what = std::string(who) + ": offset " + number(offset) + " holds " + name + " epoch " +
                           number(place.epoch) + " sequence " + number(place.sequence);
  const Committed* event = find(place.publisher, place.epoch, place.sequence);
  if (event == nullptr) return fail(what + ", which nobody published");
  if (event->digest != place.digest) return fail(what + " with another payload");
  if (event->never) return fail(what + ", of which was said that it never would");
  for (const Committed& other : publisher->second.events.find(place.sequence)->second) {
    if (&other != event && (other.told_recorded || other.told_synced)) {
      return fail(what + ", but epoch " + number(other.epoch) + " was told that its event is there");
    }
  }
  const auto [at, added] = places_.emplace(offset, place);
  if (!added && (at->second.publisher != place.publisher || at->second.epoch != place.epoch ||
                 at->second.sequence != place.sequence || at->second.record_time != place.record_time)) {
    return fail(what + ", but held sequence " + number(at->second.sequence) + " of publisher " +
                number(at->second.publisher) + " before");
  }
  const auto [where, first] = offsets_.emplace(std::pair(place.publisher, place.sequence), offset);
  if (!first && where->second != offset) return fail(what + ", which is at offset " + number(where->second) + " too");
}

void Model::seen(Sight& sight, const Event& event) {
  ++sight.count;
  const Place place{event.publisher, event.epoch, event.sequence(), digest_of(event.payload()), event.record_time};
  if (sight.level == Level::live) {
    const Committed* committed = find(place.publisher, place.epoch, place.sequence);
    if (committed == nullptr || committed->digest != place.digest) {
      return fail("a live reader saw sequence " + number(place.sequence) + " of publisher " + number(place.publisher) +
                  ", which was not committed so");
    }
  } else {
    if (!event.offset) return fail("a follower's event has no offset");
    if (sight.next && *event.offset != *sight.next) {
      return fail("a follower saw offset " + number(*event.offset) + " instead of " + number(*sight.next));
    }
    sight.next = event.offset->next();
    if (sight.void_from && *event.offset >= *sight.void_from) {
      sight.last[place.publisher] = place.sequence;
      return;
    }
    claim(*event.offset, place, "a follower");
    if (*event.offset >= (sight.level == Level::synced ? synced_end_ : recorded_end_)) {
      return fail("a follower saw offset " + number(*event.offset) + " before it was " +
                  std::string(to_string(sight.level)));
    }
  }
  Sequence& last = sight.last[place.publisher];
  if (sight.level == Level::live) {
    // A new epoch goes on behind what is recorded: what was shown beyond has been taken back.
    auto& shown = sight.shown[place.publisher];
    if (place.sequence <= last && shown.lower_bound(place.sequence) == shown.end()) {
      last = Sequence(place.sequence.value() - 1);
    }
    shown[place.sequence] = place.epoch;
  }
  const auto gap = sight.gap.find(place.publisher);
  const bool jumps = last != Sequence() && place.sequence > last.next();
  if (last != Sequence() && place.sequence <= last) {
    fail("a reader saw sequence " + number(place.sequence) + " behind " + number(last));
  } else if (jumps != (gap != sight.gap.end())) {
    fail("sequence " + number(place.sequence) + " behind " + number(last) +
         (jumps ? " without a gap told" : " and a gap was told"));
  } else if (jumps && (gap->second.from != last.next() || gap->second.to.next() != place.sequence)) {
    fail("the gap told before sequence " + number(place.sequence) + " is another");
  } else if (jumps && sight.level != Level::live && !may_lose_) {
    fail("a gap in the log, which its policies do not allow, before sequence " + number(place.sequence));
  }
  if (gap != sight.gap.end()) sight.gap.erase(gap);
  last = place.sequence;
}

void Model::told(Sight& sight, const Gap& gap) {
  if (gap.reason == Gap::Reason::retracted) return take_back(sight, gap);
  if (gap.reason == Gap::Reason::rolled_back) return roll_back(sight, gap);
  const Gap::Reason expected = sight.level == Level::live ? Gap::Reason::lapped : Gap::Reason::not_recorded;
  if (gap.reason != expected) fail("a gap has the reason " + std::string(to_string(gap.reason)));
  if (gap.to < gap.from) fail("a gap ends before it begins");
  if (!sight.gap.emplace(gap.publisher, gap).second) fail("two gaps were told with no event between them");
  if (gap.reason == Gap::Reason::not_recorded) never(gap.publisher, gap.from, gap.to);
}

void Model::take_back(Sight& sight, const Gap& gap) {
  if (sight.level != Level::live) return fail("a follower is told that something is retracted");
  if (gap.to < gap.from || gap.to > sight.last[gap.publisher]) return fail("what was not shown is retracted");
  auto& shown = sight.shown[gap.publisher];
  const auto begin = shown.lower_bound(gap.from);
  const auto end = shown.upper_bound(gap.to);
  for (auto at = begin; at != end; ++at) never({gap.publisher, at->second, at->first}, "retracted");
  shown.erase(begin, end);
}

void Model::roll_back(Sight& sight, const Gap& gap) {
  if (sight.level != Level::recorded) return fail("only what was recorded can be rolled back");
  const bool known =
      std::any_of(runs_.begin(), runs_.end(), [&](const auto& run) { return run.second == gap.void_from; });
  if (!known || gap.void_from >= *sight.next) {
    return fail("offset " + number(*sight.next) + " is rolled back to " + number(gap.void_from));
  }
  sight.next = gap.void_from;
  sight.void_from.reset();
  sight.last.clear();
  sight.gap.clear();
}

void Model::starts_at(WallTime time, Offset offset, Offset first, Offset end) {
  for (const auto& [at, place] : places_) {
    if (at < first) continue;
    if (at >= end) break;
    if (at < offset ? place.record_time >= time : place.record_time < time) {
      return fail("a follower that starts by time begins at offset " + number(offset) + ", but offset " + number(at) +
                  " was recorded " + (at < offset ? "no" : "") + " earlier");
    }
  }
}

std::optional<ErrorCode> Model::token_error(const Position& token, Offset first) const {
  const auto later = runs_.upper_bound(token.run);
  if (token.offset > (later == runs_.end() ? recorded_end_ : later->second)) return ErrorCode::rolled_back;
  if (token.offset < first) return ErrorCode::deleted;
  return std::nullopt;
}

Sequence Model::last_committed(PublisherId id) const {
  const auto publisher = publishers_.find(id);
  if (publisher == publishers_.end() || publisher->second.events.empty()) return Sequence();
  return publisher->second.events.rbegin()->first;
}

void Model::audit_batch(const wal::BatchView& batch, std::map<PublisherId, Sequence>& last, bool whole) {
  const auto follows = [&](Sequence sequence) {
    const auto known = last.find(batch.publisher);
    const Sequence before = known == last.end() ? Sequence() : known->second;
    if ((known == last.end() && !whole) || sequence == before.next()) return;
    fail("the log's sequence " + number(sequence) + " of publisher " + number(batch.publisher) + " follows " +
         number(before));
  };
  if (batch.kind == wal::BatchKind::gap) {
    if (!may_lose_) fail("the log declares a gap, which its policies do not allow");
    follows(batch.gap().from);
    never(batch.publisher, batch.gap().from, batch.gap().to);
    last[batch.publisher] = batch.gap().to;
  }
  wal::EventCursor events(batch);
  while (const auto event = events.next()) {
    follows(event->frame.sequence());
    auto& first = publishers_[batch.publisher].first_in_log;
    if (!first) first = event->frame.sequence();
    last[batch.publisher] = event->frame.sequence();
    claim(event->offset,
          {batch.publisher, batch.epoch, event->frame.sequence(), digest_of(event->frame.payload()), batch.record_time},
          "the log");
  }
  if (events.malformed()) fail("a batch with a malformed frame");
}

std::uint64_t Model::audit(wal::FileSystem& files, const std::string& folder, Offset end, Run run) {
  auto reader = wal::Reader::open(files, folder);
  if (!reader) return fail("the log cannot be read: " + reader.error().message), 0;
  std::map<PublisherId, Sequence> last;
  std::uint64_t gaps = 0;
  const Offset first = reader->first_offset();
  const bool whole = first == Offset();
  Offset next = first;
  for (auto& [id, publisher] : publishers_) publisher.first_in_log.reset();
  while (!failed()) {
    const auto batch = reader->next();
    if (!batch) return fail("the log: " + batch.error().message), 0;
    if (!*batch) break;
    if ((*batch)->first_offset != next) {
      return fail("the log has offset " + number((*batch)->first_offset) + " where " + number(next) + " should be"), 0;
    }
    next = (*batch)->next_offset();
    audit_batch(**batch, last, whole);
    if ((*batch)->kind == wal::BatchKind::gap && (*batch)->run == run) {
      gaps += (*batch)->gap().to - (*batch)->gap().from + 1;
    }
  }
  if (next != end) fail("the log ends at offset " + number(next) + " instead of " + number(end));
  const auto table = reader->publishers();
  if (!table) return fail("the log: " + table.error().message), 0;
  for (const wal::PublisherEntry& entry : *table) {
    const auto known = last.find(entry.id);
    if (known != last.end() && known->second != entry.last_sequence) {
      fail("the log's table says that " + entry.name + " ends at " + number(entry.last_sequence) + " instead of " +
           number(known->second));
    }
    publishers_[entry.id].in_log = entry.last_sequence;
  }
  if (!failed()) audit_told();
  return gaps;
}

void Model::audit_told() {
  for (const auto& [id, publisher] : publishers_) {
    for (const auto& [sequence, events] : publisher.events) {
      for (const Committed& event : events) {
        const std::string what = publisher.name + " epoch " + number(event.epoch) + ": sequence " + number(sequence);
        // If the log comes so far it is there, or deleted, or a gap: see claim().
        if ((event.told_recorded || event.told_synced) && sequence > publisher.in_log) {
          return fail(what + " was reported " + (event.told_synced ? "synced" : "recorded") + ", but the log ends at " +
                      number(publisher.in_log));
        }
        if (!event.acked_recorded && !event.acked_synced) continue;
        if (sequence < publisher.first_in_log.value_or(publisher.in_log.next())) continue;  // deleted
        const auto where = offsets_.find({id, sequence});
        if (where == offsets_.end() || places_.at(where->second).epoch != event.epoch) {
          return fail(what + " was acknowledged and is not in the log");
        }
      }
    }
  }
}

void Model::nothing_is_missing() {
  if (stall_ == ring::StallPolicy::live_only) return;
  for (const auto& [id, publisher] : publishers_) {
    for (const auto& [sequence, events] : publisher.events) {
      const auto where = offsets_.find({id, sequence});
      for (const Committed& event : events) {
        if (!event.kept) continue;
        const bool there = where == offsets_.end() || places_.at(where->second).epoch == event.epoch;
        if (sequence > publisher.in_log || !there) {
          return fail(publisher.name + " epoch " + number(event.epoch) + ": sequence " + number(sequence) +
                      " was given to a living core, and the log ends at " + number(publisher.in_log));
        }
      }
    }
  }
}

}  // namespace millrace::simulation
