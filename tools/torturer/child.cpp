#include "tools/torturer/child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <utility>

namespace millrace::torture {

Result<Child> Child::start(std::vector<std::string> command, const std::string& output) {
  const UniqueFd out(::open(output.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!out) return fail_errno("cannot open " + output, errno);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t starter = ::getpid();
  // Told to end before it listens, it must not die of it: see catch_end().
  sigset_t end, before;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &end, &before);
  const pid_t pid = ::fork();
  if (pid != 0) ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail_errno("cannot start " + command[0], errno);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != starter) ::_exit(127);
    ::dup2(out.get(), STDOUT_FILENO);
    ::dup2(out.get(), STDERR_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  return Child(pid);
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

Child::~Child() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Child::signal(int number) const {
  if (pid_ != 0) ::kill(pid_, number);
}

std::optional<int> Child::ended() {
  int status = 0;
  if (pid_ == 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string id = std::to_string(pid);
  std::ifstream in("/proc/" + id + "/task/" + id + "/children");
  for (pid_t child = 0; in >> child;) children.push_back(child);
  return children;
}

bool signal_by(const UniqueFd& pidfd, int number) {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) == 0;
}

namespace {

std::uint64_t fds_of(pid_t pid) {
  std::error_code error;
  const std::filesystem::directory_iterator begin("/proc/" + std::to_string(pid) + "/fd", error);
  return error ? 0 : static_cast<std::uint64_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

}  // namespace

Usage Usage::of(pid_t core, pid_t gateway) {
  Usage usage{fds_of(core), fds_of(gateway), 0, 0};
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("/dev/shm", error)) {
    struct stat status {};
    if (::lstat(entry.path().c_str(), &status) != 0) continue;
    ++usage.shm_files;
    usage.shm_bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return usage;
}

void Usage::raise_to(const Usage& other) {
  core_fds = std::max(core_fds, other.core_fds);
  gateway_fds = std::max(gateway_fds, other.gateway_fds);
  shm_files = std::max(shm_files, other.shm_files);
  shm_bytes = std::max(shm_bytes, other.shm_bytes);
}

bool Usage::within(const Usage& limit) const {
  return core_fds <= limit.core_fds && gateway_fds <= limit.gateway_fds && shm_files <= limit.shm_files &&
         shm_bytes <= limit.shm_bytes;
}

std::string Usage::text() const {
  return "core " + std::to_string(core_fds) + " descriptors, gateway " + std::to_string(gateway_fds) +
         " descriptors, /dev/shm " + std::to_string(shm_files) + " files of " + std::to_string(shm_bytes) + " bytes";
}

}  // namespace millrace::torture
