// Ctrl-C and SIGTERM end a loop in good order; a second one ends the process at once.
#pragma once

#include <chrono>

namespace millrace::cli {

// From here on they are only remembered. Before, they end the process as usual: nothing is open yet.
void catch_interrupts();
[[nodiscard]] bool interrupted();
// Waits so long, or until one comes, or until `fd` can be read (-1: no descriptor).
void wait_interruptibly(std::chrono::nanoseconds time, int fd = -1);

}  // namespace millrace::cli
