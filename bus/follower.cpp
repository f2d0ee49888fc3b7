#include "bus/follower.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace millrace {

Result<Follower> Follower::open(Attached<SubscriberAttachment> attached, Level level, const Start& start, OnGap on_gap,
                                std::optional<Snapshot> snapshot) {
  Follower follower(std::move(attached.link), level, std::move(on_gap), std::move(snapshot));
  follower.adopt(std::move(attached.first));
  MILLRACE_TRY(follower.begin(start));
  if (follower.snapshot_) MILLRACE_TRY(follower.take_snapshot());
  return follower;
}

Status Follower::take_snapshot() {
  auto values = wal::last_values(*attachment_->files, attachment_->log_folder, next_, snapshot_->keys, std::nullopt,
                                 wal::ReadMode::mapped);
  if (!values) return fail(values.error());
  giving_ = {std::move(*values)};
  return {};
}

std::optional<Event> Follower::next_of_snapshot() {
  if (giving_->next < giving_->values.size()) {
    const wal::LastValue& value = giving_->values[giving_->next++];
    return Event{value.view(), value.publisher, value.epoch, value.offset, value.record_time, true};
  }
  giving_.reset();
  if (snapshot_->on_end) snapshot_->on_end(next_);
  return std::nullopt;
}

void Follower::adopt(std::shared_ptr<SubscriberAttachment> next) {
  readers_.clear();
  log_.reset();
  entry_.reset();
  batch_ = Batch();
  // What an earlier core had not made durable yet.
  const bool acked = attachment_ != nullptr && attachment_->consumer && next->consumer;
  if (acked) next->page->state.acked = attachment_->page->state.acked.load();
  attachment_ = std::move(next);
  for (std::size_t i = 0; i < attachment_->rings.size(); ++i) {
    readers_.emplace_back(attachment_->rings[i], attachment_->page->leases[i]);
  }
}

Offset Follower::end() const {
  const ring::TopicMarks& marks = attachment_->marks->topic;
  return Offset((level_ == Level::synced ? marks.synced_end : marks.recorded_end).load(std::memory_order_acquire));
}

Status Follower::begin(const Start& start) {
  next_ = end();
  run_ = attachment_->run;
  // A durable consumer begins at its checkpoint; a new one's was made from `start` when it got its name.
  const Start from = attachment_->consumer ? Start(attachment_->consumer->checkpoint) : start;
  if (std::holds_alternative<StartLatest>(from)) return {};
  auto log = open_log();
  if (!log) return fail(log.error());
  const auto found = find_start(*log, from, next_, attachment_->run);
  if (!found) return fail(told(found.error()));
  next_ = *found;
  return {};
}

Error Follower::told(Error error) const {
  if (!attachment_->consumer) return error;
  // Where a segment was deleted while it was opened, the log itself says where it begins now.
  if (error.code == ErrorCode::deleted && !error.deleted) {
    if (const auto log = open_log(); log && log->first_offset() > next_) {
      error = fail_deleted(next_, log->first_offset()).value();
    }
  }
  return as_overrun(std::move(error));
}

std::optional<Event> Follower::next() {
  for (;;) {
    if (giving_) {
      if (auto event = next_of_snapshot()) return event;
    }
    while (const auto frame = batch_.next < batch_.end ? batch_.cursor.next() : std::nullopt) {
      if (batch_.sequence != Sequence()) {
        // Not what was recorded: its publisher has changed the page since. The log has the rest of the batch.
        if (frame->sequence() != batch_.sequence) break;
        ++batch_.sequence;
      }
      const Offset offset = batch_.next;
      ++batch_.next;
      if (offset < next_) continue;  // the start lay inside the batch
      next_ = offset.next();
      report_missing(*frame);
      return Event{*frame, batch_.publisher, batch_.epoch, offset, batch_.record_time};
    }
    // A roll-back brings another snapshot.
    if (error_ || (!fetch() && !giving_)) return std::nullopt;
  }
}

// Sequences that the log jumps over were never recorded.
void Follower::report_missing(const FrameView& frame) {
  Sequence& last = last_[batch_.publisher];
  if (last != Sequence() && frame.sequence() > last.next() && on_gap_) {
    on_gap_({Gap::Reason::not_recorded, batch_.publisher, last.next(), Sequence(frame.sequence().value() - 1)});
  }
  last = frame.sequence();
}

// Puts the cursor over the next batch. False if there is none now.
bool Follower::fetch() {
  for (;;) {
    attachment_->page->state.position.store(next_.value(), std::memory_order_relaxed);
    const Offset end = this->end();
    // Read behind the end: who sees an end of a new run sees the run.
    const Run run(attachment_->marks->topic.run.load(std::memory_order_acquire));
    if (run != run_) {
      follow_run(run, Offset(attachment_->marks->topic.run_begin.load(std::memory_order_acquire)));
      if (error_) return false;
      continue;
    }
    if (next_ < end) {
      if (fetch_live()) return true;
      return fetch_replay(end);
    }
    const SubscriberLink::State state = link_->state();
    if (state == SubscriberLink::State::closed) error_ = link_->error();
    if (state != SubscriberLink::State::replaced) return false;
    auto next = link_->take();
    if (next == nullptr) return false;
    if (next->log_id != attachment_->log_id) {
      error_ = Error{ErrorCode::invalid_argument, "the core now keeps another log: subscribe anew"};
      return false;
    }
    adopt(std::move(next));
  }
}

void Follower::follow_run(Run run, Offset begin) {
  run_ = run;
  batch_ = Batch();
  log_.reset();  // it may stand in a segment whose end is void
  entry_.reset();
  if (next_ <= begin) return;
  if (on_gap_) on_gap_({Gap::Reason::rolled_back, {}, {}, {}, begin});
  next_ = begin;
  last_.clear();
  // What the values were before is nothing that the events from here on would tell.
  if (!snapshot_) return;
  if (const Status taken = take_snapshot(); !taken) error_ = taken.error();
}

bool Follower::fetch_live() {
  const bool was_live = entry_.has_value();
  if (!entry_) entry_ = attachment_->order.find(next_);
  while (entry_) {
    const auto entry = attachment_->order.read(*entry_);
    if (!entry || entry->stream >= readers_.size()) break;
    ++*entry_;
    if (entry->end_offset() <= next_) continue;
    if (entry->first_offset > next_) break;  // not what comes next: the ring went round between the search and this
    ring::Reader& reader = readers_[entry->stream];
    if (!reader.go_to(entry->page, entry->begin)) break;
    const auto frames = reader.available();
    if (frames.size() < entry->bytes) break;
    log_.reset();
    batch_ = {FrameCursor(frames.first(entry->bytes)),
              entry->publisher,
              entry->epoch,
              entry->record_time,
              entry->first_offset,
              entry->end_offset(),
              entry->first_sequence};
    return true;
  }
  if (was_live) ++heals_;
  entry_.reset();
  return false;
}

bool Follower::fetch_replay(Offset end) {
  // The segment that it stands in may end with what a failed write left.
  const std::uint32_t failures = attachment_->marks->topic.failures.load(std::memory_order_acquire);
  if (std::exchange(failures_, failures) != failures) log_.reset();
  if (!log_) {
    auto log = open_log();
    const Status found = log ? log->seek(next_) : fail(log.error());
    if (!found) return error_ = told(found.error()), false;
    log_.emplace(std::move(*log));
  }
  for (;;) {
    const auto batch = log_->next(end);
    if (!batch) return error_ = told(batch.error()), false;
    if (!*batch) return false;
    if ((*batch)->next_offset() <= next_) continue;  // before the start, or without events
    batch_ = {FrameCursor((*batch)->body), (*batch)->publisher, (*batch)->epoch, (*batch)->record_time,
              (*batch)->first_offset};
    return true;
  }
}

// Mapped: a client of this host reads what its own core wrote. A bad sector ends the process with SIGBUS.
Result<wal::Reader> Follower::open_log() const {
  return wal::Reader::open(*attachment_->files, attachment_->log_folder, wal::ReadMode::mapped);
}

bool Follower::wait(std::chrono::nanoseconds timeout) const {
  const ring::TopicMarks& topic = attachment_->marks->topic;
  const FutexWord& news = level_ == Level::synced ? topic.synced_news : topic.recorded_news;
  const MonotonicTime deadline = system_clock().monotonic() + timeout;
  for (;;) {
    const std::uint32_t seen = news.load(std::memory_order_acquire);
    if (next_ < end() || error_ || giving_ || link_->state() == SubscriberLink::State::replaced ||
        link_->state() == SubscriberLink::State::closed || topic.run.load(std::memory_order_acquire) != run_.value()) {
      return true;
    }
    const auto left = deadline - system_clock().monotonic();
    if (left.count() <= 0) return false;
    futex_wait(news, seen, std::min<std::chrono::nanoseconds>(left, link_interval));
  }
}

Status Follower::ack(Offset end) {
  if (!attachment_->consumer) {
    return fail(ErrorCode::invalid_argument, "only a durable consumer acknowledges: subscribe with a consumer's name");
  }
  if (end > next_) {
    return fail(ErrorCode::invalid_argument, "offset " + std::to_string(end.value()) +
                                                 " cannot be acknowledged: nothing from offset " +
                                                 std::to_string(next_.value()) + " on has been read");
  }
  const auto& consumer = *attachment_->consumer;
  if (link_->state() == SubscriberLink::State::closed) return fail(link_->error());
  if (consumer.mark->generation.load(std::memory_order_acquire) != consumer.generation) {
    return fail(ErrorCode::fenced, "the consumer's name has gone to another process, or was reset: subscribe anew");
  }
  ring::Word& acked = attachment_->page->state.acked;
  if (end.value() > acked.load(std::memory_order_relaxed)) acked.store(end.value(), std::memory_order_release);
  return {};
}

Offset Follower::checkpoint() const {
  return attachment_->consumer ? Offset(attachment_->consumer->mark->acked.load(std::memory_order_acquire)) : Offset();
}

Follower::Freshness Follower::freshness() const {
  const ring::TopicMarks& marks = attachment_->marks->topic;
  return {Offset(marks.recorded_end.load(std::memory_order_acquire)),
          Offset(marks.synced_end.load(std::memory_order_acquire)), next_, !entry_.has_value(),
          link_->state() == SubscriberLink::State::attached};
}

}  // namespace millrace
