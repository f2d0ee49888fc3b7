#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "bus/base/fd.hpp"
#include "tools/millrace/doctor.hpp"

namespace millrace::cli {
namespace {

using Verdict = Finding::Verdict;

std::string limit_text(rlim_t value) {
  return value == RLIM_INFINITY ? "unlimited" : std::to_string(value);
}

Finding examine_open_files() {
  constexpr rlim_t needed = 1024, comfortable = 4096;  // a WebSocket session takes one
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::string figures =
      "a process may open " + limit_text(limit.rlim_cur) + " files, at most " + limit_text(limit.rlim_max);
  if (limit.rlim_max < needed) return {Verdict::fail, "open files", figures + ": raise it (ulimit -n, LimitNOFILE=)"};
  if (limit.rlim_max < comfortable) {
    return {Verdict::warn, "open files", figures + ": enough for few WebSocket sessions; raise it (ulimit -n)"};
  }
  return {Verdict::ok, "open files", figures};
}

// "SwapTotal:  1234 kB" and the like; 0 if it is not there.
std::uint64_t meminfo_kilobytes(const std::string& key) {
  std::ifstream in("/proc/meminfo");
  for (std::string word; in >> word;) {
    std::uint64_t value = 0;
    if (word == key && in >> value) return value;
  }
  return 0;
}

Finding examine_swap() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string locked = "a process may lock " + limit_text(limit.rlim_cur) + " bytes";
  if (meminfo_kilobytes("SwapTotal:") == 0) return {Verdict::ok, "swap", "none, so rings stay in memory; " + locked};
  return {Verdict::warn, "swap",
          "rings may be swapped out, which costs milliseconds: swapoff, or vm.swappiness=1; " + locked};
}

Finding examine_pidfd() {
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (self) return {Verdict::ok, "pidfd", "the kernel tells when a process dies"};
  return {Verdict::fail, "pidfd",
          errno == ENOSYS ? "this kernel has no pidfd_open: Linux 5.3 or later is needed"
                          : "pidfd_open is refused here: allow it in the container's seccomp profile"};
}

Finding examine_memfd() {
  const auto memfd = make_memfd("millrace-doctor", 4096);
  if (memfd) return {Verdict::ok, "memfd", "can be made and sealed"};
  return {Verdict::fail, "memfd", memfd.error().message + ": Linux 3.17 or later is needed, and memfd_create allowed"};
}

Finding examine_cores() {
  const unsigned cores = std::thread::hardware_concurrency();
  const std::string figures = std::to_string(cores) + (cores == 1 ? " processor core" : " processor cores");
  if (cores >= 4) return {Verdict::ok, "cores", figures};
  return {Verdict::warn, "cores",
          figures + ": keep idle = \"back_off\"; a loop that spins would starve those it serves"};
}

Finding examine_clock() {
  std::string source;
  std::ifstream("/sys/devices/system/clocksource/clocksource0/current_clocksource") >> source;
  bool constant = false, nonstop = false;
  std::ifstream in("/proc/cpuinfo");
  for (std::string word; in >> word && !(constant && nonstop);) {
    constant = constant || word == "constant_tsc";
    nonstop = nonstop || word == "nonstop_tsc";
  }
  const std::string figures = "clock source " + (source.empty() ? "unknown" : source) +
                              ", the processor's counter is " +
                              (constant && nonstop ? "invariant" : "not known to be invariant");
  const bool in_user_space = source == "tsc" || source == "kvm-clock" || source == "hyperv_clocksource_tsc_page";
  if (in_user_space) return {Verdict::ok, "clock", figures};
  return {Verdict::warn, "clock", figures + ": reading the time may cost a system call; boot with clocksource=tsc"};
}

}  // namespace

std::vector<Finding> examine_host() {
  return {examine_open_files(), examine_swap(), examine_pidfd(), examine_memfd(), examine_cores(), examine_clock()};
}

}  // namespace millrace::cli
