// Publisher: acknowledgements. The watermarks say what is known; the log is asked only for what they do not say.
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "bus/outcome.hpp"
#include "bus/publisher.hpp"
#include "wal/locate.hpp"

namespace millrace {
namespace {

// Whether the log declared the event lost, as far as shared memory says; nullopt if it says nothing.
std::optional<bool> declared_lost(const ring::Watermarks& marks, const PublishPosition& position) {
  const std::uint64_t count = marks.topic.losses.load(std::memory_order_acquire);
  const std::uint64_t kept = std::min<std::uint64_t>(count, limits::losses_kept - 1);
  bool all_known = kept == count;
  for (std::uint64_t number = count - kept; number < count; ++number) {
    const auto loss = ring::read_loss(marks, number);
    if (!loss) {
      all_known = false;
      continue;
    }
    if (loss->publisher != position.publisher || loss->epoch != position.epoch) continue;
    if (loss->from <= position.sequence && position.sequence <= loss->to) return true;
    all_known |=
        loss->to < position.sequence;  // a publisher's losses come in order: those before this one lie before it
  }
  return all_known ? std::optional(false) : std::nullopt;
}

}  // namespace

AckStatus Publisher::look_at_log(Sequence sequence, bool synced) const {
  const ring::TopicMarks& topic = attachment_->marks->topic;
  if (sequence <= (synced ? synced_sequence() : recorded_sequence())) {
    // What was declared lost before this core began, or admitted the publisher, stands in the log alone.
    if (sequence > attachment_->last_sequence) {
      if (topic.losses.load(std::memory_order_acquire) == 0) return AckStatus::acknowledged;
      const auto lost = declared_lost(*attachment_->marks, position_of(sequence));
      if (lost) return *lost ? AckStatus::not_recorded : AckStatus::acknowledged;
    }
    const auto found = wal::locate(*attachment_->files, attachment_->log_folder, id(), epoch(), sequence);
    if (!found) return AckStatus::timed_out;
    return found->kind == wal::Located::Kind::gap ? AckStatus::not_recorded : AckStatus::acknowledged;
  }
  if (const auto lost = declared_lost(*attachment_->marks, position_of(sequence)); lost && *lost) {
    return AckStatus::not_recorded;  // behind bytes that were no event
  }
  return topic.failed() ? AckStatus::failed : AckStatus::timed_out;
}

AckStatus Publisher::look_at_consumer(Sequence sequence, const std::string& name) {
  const ring::ConsumerMark* consumer = attachment_->marks->find_consumer(key_of(name));
  if (consumer == nullptr) return AckStatus::no_consumer;
  // Nothing is consumed that is not synced.
  if (const AckStatus status = look_at_log(sequence, true); status != AckStatus::acknowledged) return status;
  if (located_.first != sequence) {
    const auto found = wal::locate(*attachment_->files, attachment_->log_folder, id(), epoch(), sequence);
    if (!found || found->kind != wal::Located::Kind::recorded) return AckStatus::timed_out;
    located_ = {sequence, found->offset};
  }
  return consumer->acked.load(std::memory_order_acquire) > located_.second.value() ? AckStatus::acknowledged
                                                                                   : AckStatus::timed_out;
}

AckStatus Publisher::acknowledged(Sequence sequence, const Ack& ack) {
  const AckStatus status = ack.level == Ack::Level::consumed ? look_at_consumer(sequence, ack.consumer)
                                                             : look_at_log(sequence, ack.level == Ack::Level::synced);
  if (status != AckStatus::timed_out) return status;
  switch (link_->state()) {
    case PublisherLink::State::disconnected:
      return AckStatus::disconnected;
    case PublisherLink::State::closed:
      return AckStatus::closed;
    default:
      return status;
  }
}

// The recorder then syncs at once, and does not sleep on.
void Publisher::want(Sequence sequence, const Ack& ack) {
  ring::Word& wanted = writer_->line().wanted;
  if (ack.level != Ack::Level::recorded && wanted.load(std::memory_order_relaxed) < sequence.value()) {
    wanted.store(sequence.value(), std::memory_order_release);
  }
  if (attachment_->bell) (void)::eventfd_write(attachment_->bell.get(), 1);
}

Acknowledgement Publisher::await(Sequence sequence, const Ack& ack, AwaitOptions options) {
  const Clock& clock = clock_.source();
  for (unsigned attempt = 0; attempt < std::max(options.attempts, 1u); ++attempt) {
    const MonotonicTime deadline = clock.monotonic() + options.timeout;
    const ring::Watermarks* asked = nullptr;  // of the core that was told
    for (;;) {
      (void)ready();  // takes up the next core, and offers again
      const ring::TopicMarks& topic = attachment_->marks->topic;
      const FutexWord& news = ack.level == Ack::Level::recorded ? topic.recorded_news
                              : ack.level == Ack::Level::synced ? topic.synced_news
                                                                : topic.consumed_news;
      const std::uint32_t seen = news.load(std::memory_order_acquire);
      const AckStatus status = acknowledged(sequence, ack);
      if (status != AckStatus::timed_out) return {status, position_of(sequence)};
      if (std::exchange(asked, attachment_->marks) != attachment_->marks) want(sequence, ack);
      const auto left = deadline - clock.monotonic();
      if (left.count() <= 0) break;
      futex_wait(news, seen, std::min(left, link_interval));
    }
  }
  return {AckStatus::timed_out, position_of(sequence)};
}

Result<Outcome> Publisher::outcome(const PublishPosition& position) const {
  const Offset synced_end(attachment_->marks->topic.synced_end.load(std::memory_order_acquire));
  const Offset recorded_end(attachment_->marks->topic.recorded_end.load(std::memory_order_acquire));
  auto outcome = outcome_of(*attachment_->files, attachment_->log_folder, position, synced_end);
  // A write that failed may have left all its bytes: they do not count.
  if (outcome && outcome->offset && *outcome->offset >= recorded_end) return Outcome{};
  return outcome;
}

Result<std::optional<LastRecorded>> Publisher::last_recorded() const {
  auto found = wal::last_event(*attachment_->files, attachment_->log_folder, id());
  if (!found) return fail(found.error());
  if (!*found) return std::nullopt;
  FrameCursor cursor((*found)->frame);
  const auto frame = cursor.next();
  if (!frame)
    return fail(ErrorCode::corrupt, "the last event of the log is no frame; check it with millrace wal verify");
  std::optional<Cause> cause;
  if (const auto input = frame->cause()) cause.emplace(*input, frame->cause_index());
  return LastRecorded{(*found)->offset, (*found)->sequence, cause, {frame->payload().begin(), frame->payload().end()}};
}

}  // namespace millrace
