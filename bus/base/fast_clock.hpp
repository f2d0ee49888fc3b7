// Wall-clock nanoseconds for every message: the processor's time stamp counter, set by the system clock every few
// milliseconds. Never goes back. One thread.
#pragma once

#include <x86intrin.h>

#include <algorithm>
#include <cstdint>

#include "bus/base/clock.hpp"

namespace millrace {

class FastClock {
 public:
  // `clock` sets it. Without an invariant counter, or with a clock that is not the system's, each now() asks `clock`.
  explicit FastClock(const Clock& clock = system_clock());

  [[nodiscard]] const Clock& source() const { return *clock_; }

  [[nodiscard]] WallTime now() {
    if (!counting_) return last_ = std::max(last_, clock_->wall());
    const std::uint64_t ticks = __rdtsc() - set_ticks_;
    if (ticks >= reset_ticks_) return reset();
    const auto ns = static_cast<std::int64_t>((static_cast<Wide>(ticks) * ns_per_tick_q32_) >> 32);
    return last_ = std::max(last_, WallTime{set_ns_ + ns});
  }

 private:
  __extension__ typedef unsigned __int128 Wide;

  WallTime reset();

  const Clock* clock_;
  bool counting_;
  std::uint64_t set_ticks_ = 0;
  std::int64_t set_ns_ = 0;
  std::uint64_t reset_ticks_ = 0;      // ticks after which the system clock is asked again
  std::uint64_t ns_per_tick_q32_ = 0;  // nanoseconds a tick, times 2^32
  WallTime last_;
};

}  // namespace millrace
