// When recorded events are due if they are sent at another pace. It only computes: waiting is the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "bus/base/clock.hpp"
#include "bus/base/result.hpp"

namespace millrace::market {

struct Pace {
  std::int64_t thousandths = 0;  // 1'000: as recorded; 0: as fast as possible

  bool operator==(const Pace&) const = default;
};
inline constexpr Pace kFlatOut{0};
inline constexpr Pace kAsRecorded{1'000};

// "flat_out", "recorded", "10x" or "0.5x", up to a million.
[[nodiscard]] Result<Pace> parse_pace(std::string_view text);

class Pacer {
 public:
  explicit Pacer(Pace pace) : pace_(pace) {}

  // The first event is due at `now`, and sets the start. Each other: what was recorded between the two, divided by the
  // pace, after that, exactly to the nanosecond (cut off); never before an earlier one. Flat out: `now`.
  // Holds for recordings of up to a hundred days.
  [[nodiscard]] MonotonicTime due(WallTime recorded, MonotonicTime now);

 private:
  struct Start {
    WallTime recorded;
    MonotonicTime at;
  };
  Pace pace_;
  std::optional<Start> start_;
  MonotonicTime latest_;
};

}  // namespace millrace::market
