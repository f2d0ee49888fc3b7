// A small seeded generator whose numbers are the same on every machine, which the standard's distributions do not
// promise.
#pragma once

#include <cmath>
#include <cstdint>

#include "bus/base/assert.hpp"

namespace millrace::matching {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // A counter stepped by the golden ratio, well mixed.
  std::uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15ULL;
    auto x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  // 0 to count - 1, for 0 < count <= 2^32. Uniform up to a bias of count / 2^32.
  std::uint64_t below(std::uint64_t count) {
    MILLRACE_DEBUG_ASSERT(count > 0 && count <= (std::uint64_t{1} << 32), "the choice is empty or too large");
    return ((bits() >> 32) * count) >> 32;
  }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  // In (0, 1].
  double unit() { return static_cast<double>((bits() >> 11) + 1) * 0x1p-53; }
  bool chance(double probability) { return unit() <= probability; }
  // Time to the next event of a Poisson process, in units of its mean.
  double exponential() { return -std::log(unit()); }
  // P(n >= d) = 1 / d, for d from 1 upward.
  std::int64_t power_law(std::int64_t max) {
    const double value = 1.0 / unit();
    return value < static_cast<double>(max) ? static_cast<std::int64_t>(value) : max;
  }

 private:
  std::uint64_t state_;
};

}  // namespace millrace::matching
