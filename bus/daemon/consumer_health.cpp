#include "bus/daemon/consumer_health.hpp"

#include <algorithm>

namespace millrace::daemon {

using namespace std::chrono_literals;
using control::ConsumerState;

void ConsumerHealth::look(const ConsumerLook& at, const ConsumerLimits& limits, MonotonicTime now) {
  begun_ = begun_ || at.progress != 0 || at.position != 0;
  const bool shows_offset = at.level != Level::live && begun_;
  lag_ = shows_offset ? at.end - std::min(at.end, at.position) : 0;
  const bool has_work = shows_offset ? lag_ > 0 : at.end > quiet_end_;
  const std::uint64_t seen = at.progress + at.position;
  if (seen != seen_ || !has_work) {
    seen_ = seen;
    quiet_end_ = at.end;
    moved_ = now;
  }
  const auto state = judge(at, limits, now);
  if (state != state_) since_ = now;
  state_ = state;
}

ConsumerState ConsumerHealth::judge(const ConsumerLook& at, const ConsumerLimits& limits, MonotonicTime now) {
  if (now - moved_ > limits.stalled_after) return ConsumerState::stalled;
  if (!begun_) return ConsumerState::none;
  if (at.level == Level::live) return ConsumerState::live;
  if (catches_up(at.position, at.end, limits.lag)) return ConsumerState::catching_up;
  lagging_ = limits.lag > 0 && lag_ > (lagging_ ? limits.lag / 2 : limits.lag);
  return lagging_ ? ConsumerState::lagging : ConsumerState::live;
}

// Whoever replays a long log on a busy topic finds more than the limit at its goal, and sets out again; one that has
// come no nearer meanwhile lags.
bool ConsumerHealth::catches_up(std::uint64_t position, std::uint64_t end, std::uint64_t limit) {
  if (caught_up_) return false;
  if (!round_lag_) round_lag_ = lag_;
  if (position < goal_) {
    caught_up_ = limit > 0 && lag_ > *round_lag_ + limit;
  } else if (limit > 0 && lag_ > limit && lag_ < *round_lag_) {
    goal_ = end;
    round_lag_ = lag_;
  } else {
    caught_up_ = true;
  }
  return !caught_up_;
}

std::string ConsumerHealth::reason(const ConsumerLimits& limits, MonotonicTime now) const {
  if (state_ == ConsumerState::stalled) {
    return "has read nothing for " + std::to_string(silent(now) / 1ms) + " ms, though there is something to read";
  }
  if (state_ == ConsumerState::lagging) {
    return std::to_string(lag_) + " events behind; the limit is " + std::to_string(limits.lag);
  }
  return {};
}

}  // namespace millrace::daemon
