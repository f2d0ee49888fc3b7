#include "bus/daemon/supervise.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "bus/base/clock.hpp"
#include "bus/base/log.hpp"
#include "bus/daemon/restart.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

constexpr int wrong_configuration = 2;

bool ends_us(int signal) {
  return signal == SIGTERM || signal == SIGINT;
}

// The child: ends with its parent, however that one ends. SIGTERM and SIGINT stay blocked: what comes before the daemon
// waits for them is not lost.
[[noreturn]] void become(std::vector<std::string>& command, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(128 + SIGTERM);  // it died meanwhile
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

int supervise(std::vector<std::string> command) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);  // each is waited for, and none is lost
  const pid_t self = ::getpid();
  RestartDelay delay;
  for (;;) {
    const MonotonicTime started = system_clock().monotonic();
    const pid_t child = ::fork();
    if (child == 0) become(command, self);
    if (child < 0) {
      log().error("cannot start {}: {}", command[0], std::generic_category().message(errno));
      return 1;
    }
    bool stopping = false;
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) != child) {
      const int signal = ::sigwaitinfo(&signals, nullptr);
      if (!ends_us(signal)) continue;
      stopping = true;
      ::kill(child, signal);
    }
    const int code = exit_status_of(status);
    if (stopping || code == 0 || code == wrong_configuration) return code;
    const auto wait = delay.next(system_clock().monotonic() - started);
    log().warn("millraced {}; it is started again in {} ms", describe_end(status), wait / 1ms);
    const MonotonicTime due = system_clock().monotonic() + wait;
    for (auto left = wait; left > 0ns; left = due - system_clock().monotonic()) {
      const timespec time{left / 1s, (left % 1s).count()};
      if (ends_us(::sigtimedwait(&signals, nullptr, &time))) return code;
    }
  }
}

}  // namespace millrace::daemon
