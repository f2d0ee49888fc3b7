// A circuit breaker: after a failure it lets nothing through for a while, then one try, and waits twice as long, up to
// a cap, each time that fails. Each wait is cut by a random part, so that several processes do not come back at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>
#include <string_view>

#include "bus/base/clock.hpp"

namespace millrace::delayed::postgres {

enum class BreakerState {
  closed,     // all goes through
  open,       // nothing does, until due()
  half_open,  // one try is under way
};
[[nodiscard]] std::string_view to_string(BreakerState state);

// One thread.
class Breaker {
 public:
  struct Limits {
    std::chrono::nanoseconds first_wait = std::chrono::milliseconds(100);
    std::chrono::nanoseconds longest_wait = std::chrono::seconds(10);
    double jitter = 0.25;  // the largest part that a wait is cut by
    std::uint64_t seed = 0;
  };
  explicit Breaker(Limits limits) : limits_(limits), random_(limits.seed), wait_(limits.first_wait) {}

  // Whether to try now; who does tells how it went by succeeded() or failed().
  [[nodiscard]] bool allows(MonotonicTime now);
  void succeeded();
  void failed(MonotonicTime now);

  [[nodiscard]] BreakerState state() const { return state_; }
  [[nodiscard]] MonotonicTime due() const { return due_; }  // while open
  // Times it opened from closed.
  [[nodiscard]] std::uint64_t opened() const { return opened_; }

 private:
  Limits limits_;
  std::mt19937_64 random_;
  BreakerState state_ = BreakerState::closed;
  std::chrono::nanoseconds wait_;
  MonotonicTime due_;
  std::uint64_t opened_ = 0;
};

}  // namespace millrace::delayed::postgres
