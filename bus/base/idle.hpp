// What a loop does when it found no work. The only place that sleeps.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "bus/base/result.hpp"

namespace millrace {

class IdleStrategy {
 public:
  virtual ~IdleStrategy() = default;
  // `work` is what do_work() returned: above 0 resets, 0 idles a little more each time.
  virtual void idle(std::uint64_t work) = 0;
  // An eventfd that ends a sleep early when it is written to. For strategies that sleep.
  virtual void set_bell(int /*fd*/) {}
};

// Burns its core: the least latency, where each spinning thread has a core of its own.
class BusySpinIdle final : public IdleStrategy {
 public:
  void idle(std::uint64_t work) override;
};

// Gives the core to whoever waits for it, and comes straight back.
class YieldIdle final : public IdleStrategy {
 public:
  void idle(std::uint64_t work) override;
};

// Spins, then yields, then sleeps from `min_sleep` doubling to `max_sleep`. The first idle() sets the calling thread's
// timer slack to 1 ns, without which each sleep takes 50 us more.
class BackOffIdle final : public IdleStrategy {
 public:
  struct Limits {
    std::uint32_t spins = 64;
    std::uint32_t yields = 32;
    std::chrono::nanoseconds min_sleep{1'000};
    std::chrono::nanoseconds max_sleep{100'000};
  };
  BackOffIdle() : BackOffIdle(Limits{}) {}
  explicit BackOffIdle(Limits limits) : limits_(limits), sleep_(limits.min_sleep) {}
  void idle(std::uint64_t work) override;
  void set_bell(int fd) override { bell_ = fd; }

 private:
  void rest();

  Limits limits_;
  std::uint32_t idled_ = 0;
  std::chrono::nanoseconds sleep_;
  bool slack_set_ = false;
  int bell_ = -1;
};

// "spin", "yield" or "back_off".
[[nodiscard]] Result<std::unique_ptr<IdleStrategy>> make_idle_strategy(std::string_view name);

}  // namespace millrace
