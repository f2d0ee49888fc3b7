#include "tools/millrace/interrupt.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

namespace millrace::cli {
namespace {

std::atomic<bool> caught{false};
std::atomic<int> wake_fd{-1};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free, "used by a handler");

void remember(int) {
  const int saved = errno;
  caught.store(true, std::memory_order_relaxed);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd.load(std::memory_order_relaxed), &one, sizeof one);
  errno = saved;
}

}  // namespace

void catch_interrupts() {
  if (wake_fd.load(std::memory_order_relaxed) < 0) wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // no SA_RESTART: a write into a full pipe gives up
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return caught.load(std::memory_order_relaxed);
}

void wait_interruptibly(std::chrono::nanoseconds time, int fd) {
  // poll() leaves out descriptors below zero.
  pollfd waiting[] = {{wake_fd.load(std::memory_order_relaxed), POLLIN, 0}, {fd, POLLIN, 0}};
  const timespec limit{time.count() / 1'000'000'000, time.count() % 1'000'000'000};
  ::ppoll(waiting, 2, &limit, nullptr);
}

}  // namespace millrace::cli
