#include "bus/held_consumer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "bus/base/assert.hpp"

namespace millrace {

HeldConsumer::HeldConsumer(Attached<SubscriberAttachment> attached)
    : link_(std::move(attached.link)), attachment_(std::move(attached.first)) {
  MILLRACE_ASSERT(attachment_->consumer.has_value(), "a durable consumer is attached with its name");
  begin_ = attachment_->consumer->checkpoint;
  next_ = acked_ = begin_.offset;
  show();
}

// In the page that the core looks at.
void HeldConsumer::show() {
  auto& words = attachment_->page->state;
  words.position.store(next_.value(), std::memory_order_relaxed);
  words.progress.store(words.progress.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  words.acked.store(acked_.value(), std::memory_order_release);
}

Status HeldConsumer::look() {
  if (lost_) return fail(*lost_);
  const auto state = link_->state();
  if (state == SubscriberLink::State::closed) {
    lost_ = link_->error();
  } else if (state == SubscriberLink::State::replaced) {
    if (const Status adopted = adopt(); !adopted) lost_ = adopted.error();
  } else if (const auto& hold = *attachment_->consumer;
             hold.mark->generation.load(std::memory_order_acquire) != hold.generation) {
    lost_ = Error{ErrorCode::fenced, "the consumer's name has gone to another process, or was reset: subscribe anew"};
  }
  return lost_ ? Status(fail(*lost_)) : Status();
}

Status HeldConsumer::adopt() {
  auto next = link_->take();
  if (next == nullptr) return {};
  if (!next->consumer) return fail(ErrorCode::internal, "the core attached a durable consumer without its name");
  if (next->log_id != attachment_->log_id) {
    return fail(ErrorCode::invalid_argument, "the core now keeps another log: subscribe anew");
  }
  attachment_ = std::move(next);
  show();  // what the last core had not stored yet is acknowledged to this one
  return {};
}

void HeldConsumer::handed_on(Offset next) {
  next_ = std::max(next_, next);
  if (!lost_) show();
}

Status HeldConsumer::ack(Offset end) {
  if (end > next_) {
    return fail(ErrorCode::invalid_argument, "offset " + std::to_string(end.value()) +
                                                 " cannot be acknowledged: nothing from offset " +
                                                 std::to_string(next_.value()) + " on has been handed on");
  }
  MILLRACE_TRY(look());
  acked_ = std::max(acked_, end);
  show();
  return {};
}

Offset HeldConsumer::checkpoint() const {
  return std::max(begin_.offset, Offset(attachment_->consumer->mark->acked.load(std::memory_order_acquire)));
}

}  // namespace millrace
