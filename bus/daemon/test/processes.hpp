// Real processes for tests: a core with a configuration of its own, and whatever else a test starts and kills. Waits
// are on conditions, with generous limits.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/temporary_folder.hpp"

namespace millrace::testing {

// Polls `condition` until it is true; false after `limit`.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::seconds limit = std::chrono::seconds(60));

// A child process with its standard output piped here. Killed, if it still runs, when it goes out of scope.
class Process {
 public:
  explicit Process(std::vector<std::string> command);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  // Its exit status as a shell has it (128 + signal); nullopt if it does not end within `limit`.
  [[nodiscard]] std::optional<int> wait(std::chrono::seconds limit = std::chrono::seconds(60));
  // The next line of its output; nullopt at its end or after `limit`.
  [[nodiscard]] std::optional<std::string> line(std::chrono::seconds limit = std::chrono::seconds(60));
  // Lines until one begins with `start`; that line.
  [[nodiscard]] std::optional<std::string> line_with(const std::string& start);
  // What it wrote to standard error, so far.
  [[nodiscard]] std::string errors() const;

 private:
  pid_t pid_ = 0;
  int out_ = -1;
  std::string error_file_;
  std::string buffer_;
  std::optional<int> status_;
};

// A millraced on a folder of its own.
class TestCore {
 public:
  // `extra`: lines appended to its configuration.
  explicit TestCore(const std::string& extra = "", bool start = true);
  // The same for lines that belong to its table [core].
  struct InCore {
    std::string lines;
  };
  explicit TestCore(const InCore& extra);

  void start();              // and waits until it answers
  void kill();               // kill -9
  [[nodiscard]] int stop();  // SIGTERM; its exit status
  [[nodiscard]] std::string socket() const { return folder_.at("run/control.sock"); }
  [[nodiscard]] std::string log_folder(const std::string& topic) const { return folder_.at("log/" + topic); }
  [[nodiscard]] std::string config_file() const { return folder_.at("millrace.toml"); }
  [[nodiscard]] const std::string& folder() const { return folder_.path(); }
  [[nodiscard]] Process& process() { return *process_; }
  // Starts test/puppet against this core.
  [[nodiscard]] Process puppet(const std::string& topic, const std::string& name, std::uint64_t count,
                               bool take_over = false) const;

 private:
  TestCore(const std::string& in_core, const std::string& extra, bool start_now);

  TemporaryFolder folder_;
  std::optional<Process> process_;
};

// SIGSTOP, and waits until every thread of the process stands. False if it does not come to that.
[[nodiscard]] bool stop_and_wait(pid_t pid);

// The program of that name of this build.
[[nodiscard]] std::string program(const std::string& name);

}  // namespace millrace::testing
