#include "subscribers/delayed/postgres/breaker.hpp"

#include <algorithm>

namespace millrace::delayed::postgres {

std::string_view to_string(BreakerState state) {
  switch (state) {
    case BreakerState::closed:
      return "closed";
    case BreakerState::open:
      return "open";
    case BreakerState::half_open:
      return "half_open";
  }
  return "?";
}

bool Breaker::allows(MonotonicTime now) {
  if (state_ == BreakerState::open && now >= due_) state_ = BreakerState::half_open;
  return state_ != BreakerState::open;
}

void Breaker::succeeded() {
  state_ = BreakerState::closed;
  wait_ = limits_.first_wait;
}

void Breaker::failed(MonotonicTime now) {
  if (state_ == BreakerState::closed) ++opened_;
  state_ = BreakerState::open;
  const double cut = std::uniform_real_distribution<double>(0, limits_.jitter)(random_);
  due_ = now + std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(wait_.count()) * (1 - cut)));
  wait_ = std::min(2 * wait_, limits_.longest_wait);
}

}  // namespace millrace::delayed::postgres
