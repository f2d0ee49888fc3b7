#include "bus/publisher.hpp"

#include <cstring>

#include "bus/base/assert.hpp"

namespace millrace {

std::string_view to_string(PublishStatus status) {
  switch (status) {
    case PublishStatus::ok:
      return "ok";
    case PublishStatus::back_pressured:
      return "back_pressured";
    case PublishStatus::refused:
      return "refused";
    case PublishStatus::too_large:
      return "too_large";
    case PublishStatus::invalid:
      return "invalid";
    case PublishStatus::disconnected:
      return "disconnected";
    case PublishStatus::closed:
      return "closed";
  }
  return "unknown";
}

Publisher::Publisher(Attached<PublisherAttachment> attached, const schemas::EventType& type, const Clock& clock)
    : link_(std::move(attached.link)), type_(&type), clock_(clock) {
  adopt(std::move(attached.first));
}

PublishStatus Publisher::ready() {
  switch (link_->state()) {
    case PublisherLink::State::attached:
      break;
    case PublisherLink::State::disconnected:
      return PublishStatus::disconnected;
    case PublisherLink::State::closed:
      return PublishStatus::closed;
    case PublisherLink::State::replaced: {
      auto next = link_->take();
      if (next == nullptr) return PublishStatus::disconnected;
      if (next->epoch != attachment_->epoch) {
        // Another process had the name in between, and went on behind what the log had: these sequences are its.
        link_->close({ErrorCode::in_use,
                      "the publisher's name went to another process while the core was away; what was "
                      "not recorded by then is lost: begin as a new publisher"});
        return PublishStatus::closed;
      }
      adopt(std::move(next));
    }
  }
  if (reoffer_) {
    if (!reoffer_->run(*writer_)) return no_page();
    reoffer_.reset();
    follow_batch();
  }
  return PublishStatus::ok;
}

// What this process published and the log has not goes into the new ring first, under its old sequences.
void Publisher::adopt(std::shared_ptr<PublisherAttachment> next) {
  const ring::Writer writer(next->ring, next->first_page, next->last_sequence.next());
  if (reoffer_) {
    reoffer_->restart();
  } else if (writer_ && writer_->next_sequence() > writer.next_sequence()) {
    reoffer_.emplace(std::move(attachment_), writer_->batch_first(), writer_->batched());
  }
  attachment_ = std::move(next);
  writer_.emplace(writer);
  writer_->line().wanted.store(0, std::memory_order_relaxed);  // what the one before wanted
  if (!reoffer_) follow_batch();
}

PublishStatus Publisher::no_page() {
  ++back_pressured_;
  return attachment_->stall_policy == ring::StallPolicy::refuse ? PublishStatus::refused
                                                                : PublishStatus::back_pressured;
}

Published Publisher::publish(std::span<const std::byte> payload, std::optional<Cause> cause) {
  if (!type_->verify(payload)) return {PublishStatus::invalid, {}};
  const auto room = claim(payload.size());
  if (room.status != PublishStatus::ok) return {room.status, {}};
  std::memcpy(room.payload.data(), payload.data(), payload.size());
  return {PublishStatus::ok, commit_unchecked(type_->key(payload), cause, payload.size())};
}

Published Publisher::commit(std::size_t size, std::optional<Cause> cause) {
  MILLRACE_ASSERT(size <= claimed_.size(), "no more is committed than was claimed");
  const auto payload = claimed_.first(size);
  if (!type_->verify(payload)) return {PublishStatus::invalid, {}};
  return {PublishStatus::ok, commit_unchecked(type_->key(payload), cause, size)};
}

void Publisher::abort() {
  writer_->abort();
}

void Publisher::idle() {
  (void)ready();
  ring::Word& progress = writer_->line().progress;
  progress.store(progress.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

Sequence Publisher::recorded_sequence() const {
  return Sequence(attachment_->marks->streams[attachment_->stream].recorded_sequence.load(std::memory_order_acquire));
}

Sequence Publisher::synced_sequence() const {
  return Sequence(attachment_->marks->streams[attachment_->stream].synced_sequence.load(std::memory_order_acquire));
}

}  // namespace millrace
