// What those who start a program again have in common: how long they wait, and how they say how it ended.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

namespace millrace::daemon {

// Waits longer each time, up to a limit, and forgets it all once the program ran steadily.
class RestartDelay {
 public:
  // `ran`: how long it did, nothing if it could not be started. Returns how long to wait before the next start.
  std::chrono::nanoseconds next(std::chrono::nanoseconds ran) {
    delay_ = ran > steady ? first : std::clamp(delay_ * 2, first, longest);
    return delay_;
  }

 private:
  static constexpr std::chrono::nanoseconds first = std::chrono::milliseconds(100);
  static constexpr std::chrono::nanoseconds longest = std::chrono::seconds(5);
  static constexpr std::chrono::nanoseconds steady = std::chrono::seconds(10);

  std::chrono::nanoseconds delay_{0};
};

// Of what waitpid() says: "ended with status 1", "was ended by signal SIGKILL".
[[nodiscard]] std::string describe_end(int wait_status);
// The same as a shell has it: the exit status, or 128 + signal.
[[nodiscard]] int exit_status_of(int wait_status);

}  // namespace millrace::daemon
