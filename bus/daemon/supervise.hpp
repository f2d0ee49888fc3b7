// For hosts without a supervisor of their own: a small process that does nothing but start the daemon, and start it
// again when it ends badly.
#pragma once

#include <string>
#include <vector>

namespace millrace::daemon {

// Runs `command` until it ends in good order (status 0), cannot be what is wanted (status 2: its configuration or
// command line), or SIGTERM or SIGINT came, which it passes on. Any other end is followed by another start, a little
// later each time. Should this process itself be killed, the kernel sends the daemon SIGTERM. Returns the exit status
// of the last run, 128 + signal for a signal. No threads; the caller has none either.
[[nodiscard]] int supervise(std::vector<std::string> command);

}  // namespace millrace::daemon
