// A run of a topic's events, offsets without a gap, as the gateway keeps them: frames back to back, JSON made once when
// first asked for. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/frame.hpp"
#include "bus/base/ids.hpp"
#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway {

class EventBlock {
 public:
  struct Entry {
    WallTime record_time;
    PublisherId publisher;
    Epoch epoch;
    std::uint32_t frame_at = 0;
    std::uint32_t frame_size = 0;
    std::uint32_t json_at = 0;
    std::uint32_t json_size = 0;  // 0: not made yet
    bool valid = true;            // the payload passed its verifier
  };

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t count() const { return entries_.size(); }
  [[nodiscard]] Offset first() const { return first_; }
  [[nodiscard]] Offset next() const { return first_ + entries_.size(); }
  // Bytes of memory, roughly.
  [[nodiscard]] std::size_t bytes() const {
    return frames_.size() + json_.size() + entries_.size() * sizeof(Entry) + sizeof(EventBlock);
  }

  // Copies the event, then verifies the copy, since the original may change under us. It must carry next(), unless the
  // block is empty.
  void append(const LiveEvent& event, const schemas::EventType& type);
  // Moves the events of `other`, which begins at next(), to the end.
  void append(const EventBlock& other);
  // Forgets the events before `offset`.
  void drop_before(Offset offset);

  [[nodiscard]] const Entry& entry(std::size_t index) const { return entries_[index]; }
  [[nodiscard]] FrameView frame(std::size_t index) const {
    return FrameView(frames_.data() + entries_[index].frame_at);
  }
  // The event as it stands in a message; made at the first call. True in `made` if it was made now.
  [[nodiscard]] std::string_view json(std::size_t index, const schemas::EventType& type, bool& made);

 private:
  Offset first_;
  std::vector<Entry> entries_;
  std::vector<std::byte> frames_;
  std::string json_;
};

}  // namespace millrace::gateway
