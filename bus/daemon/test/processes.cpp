#include "bus/daemon/test/processes.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "bus/base/assert.hpp"
#include "bus/base/clock.hpp"
#include "bus/base/idle.hpp"
#include "bus/bus.hpp"

namespace millrace::testing {

bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit) {
  BackOffIdle idle({.spins = 0,
                    .yields = 1,
                    .min_sleep = std::chrono::microseconds(100),
                    .max_sleep = std::chrono::milliseconds(5)});
  const MonotonicTime end = system_clock().monotonic() + limit;
  while (!condition()) {
    if (system_clock().monotonic() > end) return false;
    idle.idle(0);
  }
  return true;
}

bool stop_and_wait(pid_t pid) {
  ::kill(pid, SIGSTOP);
  return eventually([pid] {
    std::error_code failed;
    const std::filesystem::directory_iterator tasks("/proc/" + std::to_string(pid) + "/task", failed);
    return !failed && std::all_of(begin(tasks), end(tasks), [](const auto& task) {
      std::ifstream file(task.path() / "stat");
      const std::string stat(std::istreambuf_iterator<char>(file), {});
      const std::size_t name_end = stat.rfind(") ");
      return name_end != std::string::npos && stat[name_end + 2] == 'T';
    });
  });
}

std::string program(const std::string& name) {
  return std::string(MILLRACE_BIN_DIR) + "/" + name;
}

Process::Process(std::vector<std::string> command) {
  int pipe_ends[2];
  MILLRACE_ASSERT(::pipe2(pipe_ends, O_CLOEXEC) == 0, "a pipe");
  char name[] = "/tmp/millrace-stderr-XXXXXX";
  const int error = ::mkostemp(name, O_CLOEXEC);
  MILLRACE_ASSERT(error >= 0, "a file for the standard error");
  error_file_ = name;
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(pipe_ends[1], STDOUT_FILENO);
    ::dup2(error, STDERR_FILENO);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(pipe_ends[1]);
  ::close(error);
  out_ = pipe_ends[0];
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      out_(std::exchange(other.out_, -1)),
      error_file_(std::move(other.error_file_)),
      buffer_(std::move(other.buffer_)),
      status_(other.status_) {}

Process::~Process() {
  if (out_ >= 0) ::close(out_);
  if (pid_ == 0 || status_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::optional<int> Process::wait(std::chrono::seconds limit) {
  const bool ended = eventually(
      [this] {
        int status = 0;
        if (status_) return true;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return true;
      },
      limit);
  return ended ? status_ : std::nullopt;
}

std::optional<std::string> Process::line(std::chrono::seconds limit) {
  const MonotonicTime end = system_clock().monotonic() + limit;
  for (;;) {
    if (const auto newline = buffer_.find('\n'); newline != std::string::npos) {
      std::string first = buffer_.substr(0, newline);
      buffer_.erase(0, newline + 1);
      return first;
    }
    const auto left = end - system_clock().monotonic();
    pollfd ready{out_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left / std::chrono::milliseconds(1)) + 1) <= 0) {
      return std::nullopt;
    }
    char bytes[4096];
    const ssize_t count = ::read(out_, bytes, sizeof bytes);
    if (count <= 0) return std::nullopt;
    buffer_.append(bytes, static_cast<std::size_t>(count));
  }
}

std::optional<std::string> Process::line_with(const std::string& start) {
  while (auto text = line()) {
    if (text->starts_with(start)) return text;
  }
  return std::nullopt;
}

std::string Process::errors() const {
  std::ifstream in(error_file_);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TestCore::TestCore(const std::string& extra, bool start_now) : TestCore("", extra, start_now) {}

TestCore::TestCore(const InCore& extra) : TestCore(extra.lines, "", true) {}

TestCore::TestCore(const std::string& in_core, const std::string& extra, bool start_now) {
  std::ofstream(config_file()) << "[core]\nruntime_dir = \"" << folder() << "/run\"\nlog_dir = \"" << folder()
                               << "/log\"\n"
                               << in_core << "[gateway]\nenabled = false\n"
                               << extra;
  if (start_now) start();
}

void TestCore::start() {
  process_.reset();
  process_.emplace(std::vector<std::string>{program("millraced"), "--config", config_file()});
  const bool ready = eventually([this] {
    return Bus::connect({.name = "probe", .socket = socket(), .timeout = std::chrono::milliseconds(200)}).has_value();
  });
  if (!ready) std::fprintf(stderr, "millraced did not start:\n%s", process_->errors().c_str());
  MILLRACE_ASSERT(ready, "the core answers");
}

void TestCore::kill() {
  process_->signal(SIGKILL);
  (void)process_->wait();
}

int TestCore::stop() {
  process_->signal(SIGTERM);
  return process_->wait().value_or(-1);
}

Process TestCore::puppet(const std::string& topic, const std::string& name, std::uint64_t count, bool take_over) const {
  std::vector<std::string> command{program("puppet"), socket(), topic, name, std::to_string(count)};
  if (take_over) command.push_back("--take-over");
  return Process(std::move(command));
}

}  // namespace millrace::testing
