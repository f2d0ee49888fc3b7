#include "bus/base/idle.hpp"

#include <immintrin.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <algorithm>
#include <string>
#include <thread>

namespace millrace {

void BusySpinIdle::idle(std::uint64_t work) {
  if (work == 0) _mm_pause();
}

void YieldIdle::idle(std::uint64_t work) {
  if (work == 0) std::this_thread::yield();
}

void BackOffIdle::idle(std::uint64_t work) {
  if (work > 0) {
    idled_ = 0;
    sleep_ = limits_.min_sleep;
    return;
  }
  if (idled_ < limits_.spins) {
    ++idled_;
    _mm_pause();
    return;
  }
  if (idled_ < limits_.spins + limits_.yields) {
    ++idled_;
    std::this_thread::yield();
    return;
  }
  if (!slack_set_) {
    ::prctl(PR_SET_TIMERSLACK, 1UL);
    slack_set_ = true;
  }
  rest();
}

void BackOffIdle::rest() {
  if (bell_ < 0) {
    std::this_thread::sleep_for(sleep_);
  } else {
    const timespec time{sleep_.count() / 1'000'000'000, sleep_.count() % 1'000'000'000};
    pollfd bell{bell_, POLLIN, 0};
    if (::ppoll(&bell, 1, &time, nullptr) > 0) {
      eventfd_t ignored;
      (void)::eventfd_read(bell_, &ignored);
      return idle(1);
    }
  }
  sleep_ = std::min(sleep_ * 2, limits_.max_sleep);
}

Result<std::unique_ptr<IdleStrategy>> make_idle_strategy(std::string_view name) {
  if (name == "spin") return std::make_unique<BusySpinIdle>();
  if (name == "yield") return std::make_unique<YieldIdle>();
  if (name == "back_off") return std::make_unique<BackOffIdle>();
  return fail(ErrorCode::invalid_argument,
              "unknown idle strategy '" + std::string(name) + "'; use spin, yield or back_off");
}

}  // namespace millrace
