// The floor: one cache line handed from core to core, acknowledged on another, nothing else.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <memory>

#include "bench/delivery/harness.hpp"

namespace millrace::bench {

inline Outcome measure_hand_over(const Plan& plan) {
  struct Line {
    alignas(64) std::atomic<std::uint64_t> number{0};
    std::uint64_t intended, sent;
    alignas(64) std::atomic<std::uint64_t> taken{0};
  };
  void* memory = ::mmap(nullptr, sizeof(Line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MILLRACE_ASSERT(memory != MAP_FAILED, "a page of shared memory");
  auto* line = new (memory) Line;
  const auto publisher = [line]() -> Send {
    return [line](const Stamp& stamp) {
      if (line->taken.load(std::memory_order_acquire) + 1 != stamp.number) return false;
      line->intended = stamp.intended;
      line->sent = stamp.sent;
      line->number.store(stamp.number, std::memory_order_release);
      return true;
    };
  };
  const auto subscriber = [line]() -> Poll {
    return [line](const std::function<void(const Stamp&)>& consume) {
      const std::uint64_t number = line->number.load(std::memory_order_acquire);
      if (number == line->taken.load(std::memory_order_relaxed)) return;
      const Stamp stamp{number, line->intended, line->sent};
      line->taken.store(number, std::memory_order_release);
      consume(stamp);
    };
  };
  const Outcome outcome = measure_delivery(plan, publisher, subscriber);
  ::munmap(memory, sizeof(Line));
  return outcome;
}

}  // namespace millrace::bench
