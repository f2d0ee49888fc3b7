// Batches of events in memory, for tests and benchmarks of what is done with them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "schemas/event_template.hpp"
#include "subscribers/delayed/batcher.hpp"

namespace millrace::delayed::postgres::testing {

// Events of one type at the offsets from `first` on, as a batcher would hand them out.
template <class T>
class MadeEvents {
 public:
  explicit MadeEvents(std::uint64_t first = 0) : first_(first), next_(first) {}
  // Its events lie in its memory, which a copy would not share.
  MadeEvents(MadeEvents&&) = default;

  // `set` fills the event in.
  void add(const std::function<void(T&)>& set) {
    static const schemas::EventTemplate<T> blank;
    auto& memory = memory_.emplace_back((frame_size(blank.size()) + 7) / 8);
    auto* const at = reinterpret_cast<std::byte*>(memory.data());
    *reinterpret_cast<FrameHeader*>(at) = {static_cast<std::uint32_t>(frame_header_size + blank.size()),
                                           static_cast<std::uint16_t>(schemas::Family<T>::id),
                                           0,
                                           next_ + 1,
                                           1'700'000'000'000'000'000,
                                           0,
                                           0};
    set(*blank.instantiate({at + frame_header_size, blank.size()}));
    events_.push_back({FrameView(at), PublisherId(1), Epoch(1), Offset(next_), WallTime{1'700'000'001'000'000'000}});
    ++next_;
  }
  // An offset whose event failed its verifier.
  void skip() { ++next_; }

  // Of all of them; valid until the next call of anything.
  [[nodiscard]] Batch batch() const {
    return {"test", Offset(first_), Offset(next_), events_, WallTime{1'700'000'001'000'000'000}, {}, Closed::count};
  }

 private:
  std::uint64_t first_;
  std::uint64_t next_;
  std::deque<std::vector<std::uint64_t>> memory_;
  std::vector<Event> events_;
};

}  // namespace millrace::delayed::postgres::testing
