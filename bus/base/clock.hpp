// The clock is a parameter: nothing reads the time but through this.
#pragma once

#include <atomic>
#include <chrono>
#include <compare>
#include <cstdint>

namespace millrace {

// Nanoseconds since 1970-01-01 UTC: publish and record times, what people read.
struct WallTime {
  std::int64_t ns = 0;
  auto operator<=>(const WallTime&) const = default;
  [[nodiscard]] constexpr WallTime operator+(std::chrono::nanoseconds d) const { return {ns + d.count()}; }
  [[nodiscard]] constexpr std::chrono::nanoseconds operator-(WallTime other) const {
    return std::chrono::nanoseconds(ns - other.ns);
  }
};

// CLOCK_MONOTONIC nanoseconds: latencies, time-outs, one host only.
struct MonotonicTime {
  std::int64_t ns = 0;
  auto operator<=>(const MonotonicTime&) const = default;
  [[nodiscard]] constexpr MonotonicTime operator+(std::chrono::nanoseconds d) const { return {ns + d.count()}; }
  [[nodiscard]] constexpr std::chrono::nanoseconds operator-(MonotonicTime other) const {
    return std::chrono::nanoseconds(ns - other.ns);
  }
};

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime wall() const = 0;
  [[nodiscard]] virtual MonotonicTime monotonic() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime wall() const override;
  [[nodiscard]] MonotonicTime monotonic() const override;
};
// One that lives as long as the process.
[[nodiscard]] const Clock& system_clock();

// Moves only when told; both times together.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start = {1'700'000'000'000'000'000}) : start_(start) {}
  [[nodiscard]] WallTime wall() const override { return start_ + std::chrono::nanoseconds(elapsed_); }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return MonotonicTime{1} + std::chrono::nanoseconds(elapsed_);
  }
  void advance(std::chrono::nanoseconds by) { elapsed_ += by.count(); }

 private:
  WallTime start_;
  std::atomic<std::int64_t> elapsed_{0};
};

}  // namespace millrace
