#include "bus/follower.hpp"

#include <string>

namespace millrace {

Result<Follower> Follower::open(Attached<SubscriberAttachment> attached, Level level, const Start& start,
                                OnGap on_gap) {
  Follower follower(std::move(attached.link), level, std::move(on_gap));
  follower.adopt(std::move(attached.first));
  MILLRACE_TRY(follower.begin(start));
  return follower;
}

void Follower::adopt(std::shared_ptr<SubscriberAttachment> next) {
  readers_.clear();
  log_.reset();
  entry_.reset();
  batch_ = Batch();
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
  if (std::holds_alternative<StartLatest>(start)) return {};
  auto log = open_log();
  if (!log) return fail(log.error());
  const auto found = find_start(*log, start, next_, attachment_->run);
  if (!found) return fail(found.error());
  next_ = *found;
  return {};
}

std::optional<Event> Follower::next() {
  for (;;) {
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
    if (error_ || !fetch()) return std::nullopt;
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
    if (next_ < end()) {
      if (fetch_live()) return true;
      return fetch_replay();
    }
    if (link_->state() != SubscriberLink::State::replaced) return false;
    auto next = link_->take();
    if (next == nullptr) return false;
    if (next->log_id != attachment_->log_id) {
      error_ = Error{ErrorCode::invalid_argument, "the core now keeps another log: subscribe anew"};
      return false;
    }
    adopt(std::move(next));
  }
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

bool Follower::fetch_replay() {
  if (!log_) {
    auto log = open_log();
    const Status found = log ? log->seek(next_) : fail(log.error());
    if (!found) return error_ = found.error(), false;
    log_.emplace(std::move(*log));
  }
  for (;;) {
    const auto batch = log_->next(end());
    if (!batch) return error_ = batch.error(), false;
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

Follower::Freshness Follower::freshness() const {
  const ring::TopicMarks& marks = attachment_->marks->topic;
  return {Offset(marks.recorded_end.load(std::memory_order_acquire)),
          Offset(marks.synced_end.load(std::memory_order_acquire)), next_, !entry_.has_value(),
          link_->state() == SubscriberLink::State::attached};
}

}  // namespace millrace
