// When recorded events are due at another speed. It only computes: waiting is the caller's.
//
// A moment of the recording is tied to a moment of now, and every other follows from these two by one multiplication:
// nothing adds up, so nothing drifts. They are tied anew at a pause, a seek and a change of speed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "bus/base/clock.hpp"
#include "bus/base/result.hpp"

namespace millrace::historical {

struct Speed {
  std::int64_t thousandths = 0;  // 1'000: as recorded; 0: as fast as possible
  bool operator==(const Speed&) const = default;
};
inline constexpr Speed as_fast_as_possible{0};
inline constexpr Speed as_recorded{1'000};

// "max", or a factor from 0.001 to 1000000 with up to three decimals: "1", "10", "0.5", "10x".
[[nodiscard]] Result<Speed> parse_speed(std::string_view text);

class Pacer {
 public:
  explicit Pacer(Speed speed) : speed_(speed) {}

  [[nodiscard]] Speed speed() const { return speed_; }
  // The first event asked for is due at `now`, and ties the two times; with no speed each is. Not while paused.
  [[nodiscard]] MonotonicTime due(WallTime recorded, MonotonicTime now);

  // Goes on at another speed. `head`, here and below: the record time of the event that is due next, if it is known.
  // The recording does not stand behind it: who was too slow for the speed does not owe what was missed.
  void change(Speed speed, MonotonicTime now, std::optional<WallTime> head);
  void pause(MonotonicTime now, std::optional<WallTime> head);
  // While paused: the recording has come to this moment by other means.
  void stand_at(WallTime recorded) { stands_at_ = recorded; }
  void resume(MonotonicTime now);
  // A jump: what is asked for next is the first.
  void forget() {
    tied_.reset();
    stands_at_.reset();
  }

 private:
  struct Tie {
    WallTime recorded;
    MonotonicTime at;
  };
  [[nodiscard]] std::optional<WallTime> recorded(MonotonicTime now, std::optional<WallTime> head) const;

  Speed speed_;
  std::optional<Tie> tied_;            // none: before the first event
  std::optional<WallTime> stands_at_;  // while paused
};

}  // namespace millrace::historical
