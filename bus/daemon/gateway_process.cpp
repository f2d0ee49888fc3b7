#include "bus/daemon/gateway_process.hpp"

#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "bus/base/log.hpp"
#include "bus/control/socket.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

constexpr const char* started_by_variable = "MILLRACE_STARTED_BY";  // read by subscribers/realtime/main.cpp

bool ended(const UniqueFd& pidfd, int timeout_ms) {
  pollfd waiting{pidfd.get(), POLLIN, 0};
  return ::poll(&waiting, 1, timeout_ms) > 0;
}

}  // namespace

void GatewayProcess::do_work(MonotonicTime now) {
  if (pid_ == 0) {
    if (now >= due_) start(now);
    return;
  }
  if (!ended(pidfd_, 0)) return;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = 0;
  const auto wait = delay_.next(now - started_);
  due_ = now + wait;
  log().warn("the gateway {}; it is started again in {} ms", describe_end(status), wait / 1ms);
}

void GatewayProcess::start(MonotonicTime now) {
  std::vector<char*> arguments;
  for (std::string& word : command_) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  // So that it ends with this core, even if this one dies before it has said a word to it.
  std::string mark = std::string(started_by_variable) + '=' + std::to_string(::getpid());
  std::vector<char*> variables{mark.data()};
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  variables.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);  // the core blocks what it waits for; the gateway must not
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, arguments[0], nullptr, &attributes, arguments.data(), variables.data());
  ::posix_spawnattr_destroy(&attributes);
  started_ = now;
  if (error == 0) {
    auto pidfd = control::open_pidfd(pid);
    pid_ = pid;
    if (pidfd) pidfd_ = std::move(*pidfd);
    ++starts_;
    return;
  }
  due_ = now + delay_.next(0ns);
  log().error("cannot start the gateway {}: {}", command_[0], std::string(std::generic_category().message(error)));
}

void GatewayProcess::stop() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGTERM);
  if (!ended(pidfd_, 5000)) ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

}  // namespace millrace::daemon
