#include "subscribers/realtime/event_block.hpp"

#include <cstring>

#include "bus/base/assert.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

void EventBlock::append(const LiveEvent& event, const schemas::EventType& type) {
  MILLRACE_ASSERT(empty() || event.offset == next(), "a block's offsets have no gap");
  if (empty()) first_ = event.offset;
  const std::span<const std::byte> bytes = event.frame.bytes();
  Entry entry;
  entry.record_time = event.record_time;
  entry.publisher = event.publisher;
  entry.epoch = event.epoch;
  entry.frame_at = static_cast<std::uint32_t>(frames_.size());
  entry.frame_size = static_cast<std::uint32_t>(bytes.size());
  frames_.insert(frames_.end(), bytes.begin(), bytes.end());

  const auto copied = std::span(frames_).subspan(entry.frame_at);
  FrameCursor cursor(copied);
  const auto frame = cursor.next();
  if (frame && frame->size() == bytes.size()) {
    entry.valid = type.verify(frame->payload());
  } else {
    // Its length changed while it was copied: restore one that fits, so that clients can walk over it.
    entry.valid = false;
    const auto length = static_cast<std::uint32_t>(bytes.size());
    std::memcpy(copied.data(), &length, sizeof length);
  }
  entries_.push_back(entry);
}

void EventBlock::append(const EventBlock& other) {
  MILLRACE_ASSERT(empty() || other.first() == next(), "a block's offsets have no gap");
  if (empty()) first_ = other.first_;
  const auto base = static_cast<std::uint32_t>(frames_.size());
  frames_.insert(frames_.end(), other.frames_.begin(), other.frames_.end());
  entries_.reserve(entries_.size() + other.entries_.size());
  for (Entry entry : other.entries_) {
    entry.frame_at += base;
    entry.json_size = 0;
    entries_.push_back(entry);
  }
}

void EventBlock::drop_before(Offset offset) {
  if (offset <= first_) return;
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(offset - first_, entries_.size()));
  entries_.erase(entries_.begin(), entries_.begin() + count);
  first_ = offset;
}

std::string_view EventBlock::json(std::size_t index, const schemas::EventType& type, bool& made) {
  Entry& entry = entries_[index];
  made = entry.json_size == 0;
  if (made) {
    const std::size_t at = json_.size();
    protocol::append_event(first_ + index, entry, frame(index), type, json_);
    entry.json_at = static_cast<std::uint32_t>(at);
    entry.json_size = static_cast<std::uint32_t>(json_.size() - at);
  }
  return std::string_view(json_).substr(entry.json_at, entry.json_size);
}

}  // namespace millrace::gateway
