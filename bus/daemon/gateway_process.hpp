// Starts millrace-gateway beside the core, and again when it ends, each time a little later up to a limit.
#pragma once

#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/fd.hpp"
#include "bus/daemon/restart.hpp"

namespace millrace::daemon {

class GatewayProcess {
 public:
  // `command`: the program and its arguments.
  explicit GatewayProcess(std::vector<std::string> command) : command_(std::move(command)) {}
  ~GatewayProcess() { stop(); }
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // Looks after it; to be called every few milliseconds.
  void do_work(MonotonicTime now);
  // SIGTERM, then waits for its end; SIGKILL after five seconds.
  void stop();
  [[nodiscard]] std::uint64_t starts() const { return starts_; }

 private:
  void start(MonotonicTime now);

  std::vector<std::string> command_;
  pid_t pid_ = 0;
  UniqueFd pidfd_;
  MonotonicTime started_;
  MonotonicTime due_;
  RestartDelay delay_;
  std::uint64_t starts_ = 0;
};

}  // namespace millrace::daemon
