#include "bus/base/fast_clock.hpp"

#include <cpuid.h>

namespace millrace {
namespace {

constexpr std::int64_t measured_ns = 2'000'000;
constexpr std::uint64_t resets_per_measure = 5;  // asked again every 10 ms

bool counter_is_invariant() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
}

// Ticks in `measured_ns`, measured once a process.
std::uint64_t measure(const Clock& clock) {
  const MonotonicTime begin = clock.monotonic();
  const std::uint64_t begin_ticks = __rdtsc();
  MonotonicTime end = begin;
  while (end.ns - begin.ns < measured_ns) end = clock.monotonic();
  const std::uint64_t ticks = __rdtsc() - begin_ticks;
  return ticks * static_cast<std::uint64_t>(measured_ns) / static_cast<std::uint64_t>(end.ns - begin.ns);
}

}  // namespace

FastClock::FastClock(const Clock& clock)
    : clock_(&clock), counting_(&clock == &system_clock() && counter_is_invariant()) {
  if (!counting_) return;
  static const std::uint64_t ticks = measure(clock);
  reset_ticks_ = ticks * resets_per_measure;
  ns_per_tick_q32_ = (static_cast<std::uint64_t>(measured_ns) << 32) / ticks;
  (void)reset();
}

WallTime FastClock::reset() {
  set_ticks_ = __rdtsc();
  set_ns_ = clock_->wall().ns;
  return last_ = std::max(last_, WallTime{set_ns_});
}

}  // namespace millrace
