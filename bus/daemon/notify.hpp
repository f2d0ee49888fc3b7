// What systemd is told, if it started us: ready, stopping, and that the watchdog need not bite. One datagram each, to
// the socket that the environment names; without one nothing happens.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "bus/base/clock.hpp"

namespace millrace::daemon {

class Notify {
 public:
  // From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which children must not inherit: they are removed.
  [[nodiscard]] static Notify from_environment();
  // `socket`: a path, or @name in the abstract name space; empty: nobody. `watchdog`: its time-out, 0: none.
  Notify(std::string socket, std::chrono::nanoseconds watchdog) : socket_(std::move(socket)), watchdog_(watchdog) {}

  void ready() { send("READY=1"); }
  void stopping() { send("STOPPING=1"); }
  // Says that all is well, four times a watchdog's time-out, as long as the loop that is judged wakes up: `step` is
  // when it last did.
  void watch(MonotonicTime now, MonotonicTime step);

 private:
  void send(std::string_view what) const;

  std::string socket_;
  std::chrono::nanoseconds watchdog_;
  MonotonicTime told_;
};

}  // namespace millrace::daemon
