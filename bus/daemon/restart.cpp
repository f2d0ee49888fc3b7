#include "bus/daemon/restart.hpp"

#include <sys/wait.h>

#include <cstring>

namespace millrace::daemon {

std::string describe_end(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return "ended with status " + std::to_string(WEXITSTATUS(wait_status));
  const char* const name = ::sigabbrev_np(WTERMSIG(wait_status));
  return "was ended by signal " + (name != nullptr ? "SIG" + std::string(name) : std::to_string(WTERMSIG(wait_status)));
}

int exit_status_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace millrace::daemon
