// A process that the torture run started, and what it takes of the host.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"

namespace millrace::torture {

// Dies with its starter. Its standard output and error are appended to a file. It begins with SIGTERM blocked.
class Child {
 public:
  [[nodiscard]] static Result<Child> start(std::vector<std::string> command, const std::string& output);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();  // kills it

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  // Its exit status as a shell has it (128 + signal), once it has ended.
  [[nodiscard]] std::optional<int> ended();

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_ = 0;  // 0: there is none any more
};

[[nodiscard]] std::vector<pid_t> children_of(pid_t pid);
// Sends a signal to a process of somebody else's; false if it is gone. `pidfd`: of that process.
bool signal_by(const UniqueFd& pidfd, int number);

// What must not grow.
struct Usage {
  std::uint64_t core_fds = 0;
  std::uint64_t gateway_fds = 0;
  std::uint64_t shm_files = 0;  // in /dev/shm
  std::uint64_t shm_bytes = 0;

  [[nodiscard]] static Usage of(pid_t core, pid_t gateway);
  void raise_to(const Usage& other);  // in each number the greater
  [[nodiscard]] bool within(const Usage& limit) const;
  [[nodiscard]] std::string text() const;
};

}  // namespace millrace::torture
