#include "subscribers/delayed/batcher.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bus/base/assert.hpp"

namespace millrace::delayed {

std::string_view to_string(Closed why) {
  switch (why) {
    case Closed::age:
      return "age";
    case Closed::count:
      return "count";
    case Closed::bytes:
      return "bytes";
    case Closed::gap:
      return "gap";
    case Closed::end:
      return "end";
  }
  return "?";
}

Batcher::Batcher(Subscriber subscriber, std::string topic, BatchLimits limits)
    : subscriber_(std::move(subscriber)), follower_(subscriber_.follower()), topic_(std::move(topic)), limits_(limits) {
  MILLRACE_ASSERT(follower_ != nullptr, "batches need offsets: level recorded or synced");
  MILLRACE_ASSERT(limits_.events > 0, "a batch has room for an event");
  follower_->on_gap([this](const Gap& gap) { note(gap); });
}

const Batch* Batcher::poll(MonotonicTime now) {
  subscriber_.idle();
  if (batch_) return &*batch_;
  if (const auto why = fill(now)) return close(*why);
  if (filling_.empty()) return nullptr;
  if (now >= filling_.opened + limits_.age) return close(Closed::age);
  return error() ? close(Closed::end) : nullptr;
}

const Batch* Batcher::flush(MonotonicTime now) {
  if (const Batch* const batch = poll(now)) return batch;
  return filling_.empty() ? nullptr : close(Closed::end);
}

// Reads until a batch is closed, or there is nothing more now. An event that belongs into the next one has been read by
// then, and its page may be gone at the next read: so it goes there at once, into the other memory.
std::optional<Closed> Batcher::fill(MonotonicTime now) {
  if (filling_.end - filling_.first >= limits_.events) return Closed::count;
  while (const auto event = follower_->next()) {
    if (!filling_.empty() && !gaps_.empty()) {
      take(closed_, *event, now);
      return Closed::gap;
    }
    if (!filling_.empty() && filling_.used + event->frame.size() > limits_.bytes) {
      take(closed_, *event, now);
      return Closed::bytes;
    }
    take(filling_, *event, now);
    if (filling_.end - filling_.first >= limits_.events) return Closed::count;
  }
  return std::nullopt;
}

void Batcher::take(Content& into, const Event& event, MonotonicTime now) {
  if (into.empty()) {
    into.first = *event.offset;
    into.opened = now;
    into.gaps = std::exchange(gaps_, {});
  }
  into.end = event.offset->next();
  into.newest = event.record_time;
  const std::size_t size = event.frame.size();
  if (into.used + size > into.capacity) {
    // Only while it is empty of events: limits_.bytes is room for all but one that alone is larger.
    into.capacity = std::max(limits_.bytes, size);
    into.memory = std::make_unique_for_overwrite<std::byte[]>(into.capacity);
  }
  // Its publisher may write to the page meanwhile: the length is the one it was read with, and what is verified is the
  // copy.
  std::byte* const at = into.memory.get() + into.used;
  std::memcpy(at, event.frame.bytes().data(), size);
  reinterpret_cast<FrameHeader*>(at)->length =
      static_cast<std::uint32_t>(frame_header_size + event.frame.payload().size());
  const FrameView frame(at);
  if (!subscriber_.type().verify(frame.payload())) {
    ++invalid_;
    return;
  }
  into.used += size;
  into.events.push_back({frame, event.publisher, event.epoch, event.offset, event.record_time});
}

// Called while an event is read, so that no closed batch stands.
void Batcher::note(const Gap& gap) {
  if (gap.reason == Gap::Reason::rolled_back && !filling_.empty() && gap.void_from < filling_.end) {
    auto& events = filling_.events;
    while (!events.empty() && *events.back().offset >= gap.void_from) {
      filling_.used -= events.back().frame.size();
      events.pop_back();
    }
    filling_.end = std::max(filling_.first, gap.void_from);
    if (filling_.empty()) gaps_.insert(gaps_.begin(), filling_.gaps.begin(), filling_.gaps.end());
    if (!events.empty()) filling_.newest = events.back().record_time;
  }
  gaps_.push_back(gap);
}

const Batch* Batcher::close(Closed why) {
  std::swap(closed_, filling_);
  batch_ = Batch{topic_, closed_.first, closed_.end, closed_.events, closed_.newest, closed_.gaps, why};
  return &*batch_;
}

Status Batcher::ack() {
  if (!batch_) return fail(ErrorCode::invalid_argument, "no batch is at hand to be acknowledged: poll() gives one");
  MILLRACE_TRY(subscriber_.ack(batch_->end));
  next();
  return {};
}

void Batcher::next() {
  if (!batch_) return;
  batch_.reset();
  closed_.events.clear();
  closed_.gaps.clear();
  closed_.used = 0;
  closed_.end = closed_.first;
}

std::optional<MonotonicTime> Batcher::due() const {
  if (filling_.empty()) return std::nullopt;
  return filling_.opened + limits_.age;
}

bool Batcher::wait(std::chrono::nanoseconds timeout) {
  return batch_ || subscriber_.wait(timeout);
}

}  // namespace millrace::delayed
