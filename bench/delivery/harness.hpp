// Delivery between two processes, each on its own core: a publisher process sends stamped messages at a rate, this
// process polls for them. The same for every transport, so that figures of one run compare.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "bench/histogram.hpp"
#include "bus/base/agent.hpp"
#include "bus/base/assert.hpp"
#include "bus/base/clock.hpp"
#include "bus/base/idle.hpp"

namespace millrace::bench {

// Nanoseconds from the time stamp counter, the same in all processes of the host.
class Ticks {
 public:
  Ticks() {
    const MonotonicTime begin = system_clock().monotonic();
    const std::uint64_t begin_ticks = __rdtsc();
    MonotonicTime end = begin;
    while (end.ns - begin.ns < 20'000'000) end = system_clock().monotonic();
    ns_per_tick_ = static_cast<double>(end.ns - begin.ns) / static_cast<double>(__rdtsc() - begin_ticks);
  }
  // Behind every load before it: a plain rdtsc is taken before the message it is to time has come.
  [[nodiscard]] static std::uint64_t now() {
    unsigned cpu;
    return __rdtscp(&cpu);
  }
  [[nodiscard]] std::int64_t ns(std::uint64_t ticks) const {
    return static_cast<std::int64_t>(static_cast<double>(static_cast<std::int64_t>(ticks)) * ns_per_tick_);
  }
  [[nodiscard]] std::uint64_t from_ns(double ns) const { return static_cast<std::uint64_t>(ns / ns_per_tick_); }

 private:
  double ns_per_tick_;
};

// In every message.
struct Stamp {
  std::uint64_t number;    // from 1
  std::uint64_t intended;  // ticks at which the rate wanted it sent
  std::uint64_t sent;      // ticks at which it was handed to the transport; 0: not timed
};

struct Plan {
  std::uint64_t count = 1'000'000;
  double rate = 1e6;  // messages a second; 0 = flat out, with one message in 16 timed: reading the time costs as much
};

struct Outcome {
  Histogram as_received;  // from sent
  Histogram corrected;    // from intended: for coordinated omission
  std::uint64_t received = 0;
  std::uint64_t missed = 0;
  double seconds = 0;
};

// `publisher` runs in a child process on core 0: it makes its transport and returns send(stamp) -> bool, false meaning
// not now. `subscriber` runs here on core 1: it makes its side and returns poll(consume(stamp)).
using Send = std::function<bool(const Stamp&)>;
using Poll = std::function<void(const std::function<void(const Stamp&)>&)>;

inline Outcome measure_delivery(const Plan& plan, const std::function<Send()>& publisher,
                                const std::function<Poll()>& subscriber) {
  struct Shared {
    std::atomic<int> ready{0};
    std::atomic<bool> done{false};
    std::uint64_t begin = 0;  // ticks
  };
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MILLRACE_ASSERT(memory != MAP_FAILED, "a page of shared memory");
  auto* shared = new (memory) Shared;
  const Ticks ticks;

  const pid_t child = ::fork();
  if (child == 0) {
    (void)pin_this_thread(0);
    const Send send = publisher();
    ++shared->ready;
    while (shared->ready < 2) _mm_pause();
    const double interval = plan.rate > 0 ? static_cast<double>(ticks.from_ns(1e9)) / plan.rate : 0;
    BackOffIdle idle;  // back-pressure is waited out as the README shows it: the core may need this processor
    const std::uint64_t begin = Ticks::now();
    shared->begin = begin;
    for (std::uint64_t i = 1; i <= plan.count; ++i) {
      if (interval == 0 && i % 16 != 0) {
        while (!send({i, 0, 0})) idle.idle(0);
        idle.idle(1);
        continue;
      }
      std::uint64_t intended = begin + static_cast<std::uint64_t>(interval * static_cast<double>(i));
      std::uint64_t now = Ticks::now();
      while (interval > 0 && now < intended) now = Ticks::now();
      if (interval == 0) intended = now;
      while (!send({i, intended, now})) {
        idle.idle(0);
        now = Ticks::now();
      }
      idle.idle(1);
    }
    shared->done = true;
    while (shared->ready < 3) _mm_pause();
    ::_exit(0);
  }

  (void)pin_this_thread(1);
  const Poll poll = subscriber();
  Outcome outcome;
  std::uint64_t last = 0, last_ticks = 0;
  ++shared->ready;
  std::uint64_t idle_since = 0;
  bool any = false;
  // Made once: a std::function with this much in its capture is allocated.
  const std::function<void(const Stamp&)> consume = [&](const Stamp& stamp) {
    any = true;
    if (stamp.sent != 0) {
      last_ticks = Ticks::now();
      outcome.as_received.add(ticks.ns(last_ticks - stamp.sent));
      outcome.corrected.add(ticks.ns(last_ticks - stamp.intended));
    }
    outcome.missed += stamp.number - last - 1;
    last = stamp.number;
    ++outcome.received;
  };
  for (;;) {
    any = false;
    poll(consume);
    if (!any) _mm_pause();  // as BusySpinIdle does: who looks without a pause slows the one who writes
    if (last == plan.count) break;
    if (any || !shared->done) {
      idle_since = 0;
    } else if (idle_since == 0) {
      idle_since = Ticks::now();
    } else if (ticks.ns(Ticks::now() - idle_since) > 2'000'000'000) {
      break;  // the rest is lost
    }
  }
  ++shared->ready;
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.seconds = static_cast<double>(ticks.ns(last_ticks - shared->begin)) / 1e9;
  ::munmap(memory, sizeof(Shared));
  return outcome;
}

}  // namespace millrace::bench
