#include "bus/base/clock.hpp"

#include <ctime>

namespace millrace {
namespace {

std::int64_t read_ns(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace

WallTime SystemClock::wall() const {
  return {read_ns(CLOCK_REALTIME)};
}
MonotonicTime SystemClock::monotonic() const {
  return {read_ns(CLOCK_MONOTONIC)};
}

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace millrace
