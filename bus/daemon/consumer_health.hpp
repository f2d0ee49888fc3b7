// How well one subscription does, judged from what it shares with the core and what there is to read:
//
//   catching_up  has not yet reached what was recorded when it attached
//   live         reads what comes
//   lagging      more than `lag_limit` events behind; live again at half of it
//   stalled      did nothing for `stalled_after`, though there is something to read
//
// A level live subscription shows no offset, so it is live or stalled.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "bus/base/clock.hpp"
#include "bus/control/codec.hpp"
#include "bus/event.hpp"

namespace millrace::daemon {

struct ConsumerLimits {
  std::chrono::nanoseconds stalled_after{};
  std::uint64_t lag = 0;  // events; 0: none lags
};

// One look at it.
struct ConsumerLook {
  Level level = Level::live;
  std::uint64_t progress = 0;  // of its page
  std::uint64_t position = 0;  // of its page: the next offset wanted
  std::uint64_t end = 0;       // the first offset that its level does not show yet
};

class ConsumerHealth {
 public:
  // `attached_at`: the end when it attached.
  ConsumerHealth(std::uint64_t attached_at, MonotonicTime now)
      : goal_(attached_at), quiet_end_(attached_at), moved_(now), since_(now) {}

  void look(const ConsumerLook& at, const ConsumerLimits& limits, MonotonicTime now);
  // Nobody looked for a while: what it did not do meanwhile is not held against it.
  void restart(MonotonicTime now) { moved_ = now; }

  // `none` of one that never polled.
  [[nodiscard]] control::ConsumerState state() const { return state_; }
  [[nodiscard]] std::uint64_t lag() const { return lag_; }  // events
  [[nodiscard]] std::chrono::nanoseconds silent(MonotonicTime now) const { return now - moved_; }
  [[nodiscard]] MonotonicTime since() const { return since_; }  // of this state
  // In words, for people: why it is not live.
  [[nodiscard]] std::string reason(const ConsumerLimits& limits, MonotonicTime now) const;

 private:
  [[nodiscard]] control::ConsumerState judge(const ConsumerLook& at, const ConsumerLimits& limits, MonotonicTime now);
  [[nodiscard]] bool catches_up(std::uint64_t position, std::uint64_t end, std::uint64_t limit);

  std::uint64_t goal_;
  std::optional<std::uint64_t> round_lag_;  // when it set out for the goal
  bool caught_up_ = false;
  bool lagging_ = false;
  bool begun_ = false;       // has polled
  std::uint64_t seen_ = 0;   // of its progress
  std::uint64_t quiet_end_;  // the end when it last moved
  MonotonicTime moved_;      // when it last did, or had nothing to do
  MonotonicTime since_;
  std::uint64_t lag_ = 0;
  control::ConsumerState state_ = control::ConsumerState::none;
};

}  // namespace millrace::daemon
