#include "bus/daemon/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>

#include "bus/base/fd.hpp"

namespace millrace::daemon {

Notify Notify::from_environment() {
  const auto take = [](const char* name) {
    const char* const value = std::getenv(name);
    std::string text = value == nullptr ? "" : value;
    ::unsetenv(name);
    return text;
  };
  std::string socket = take("NOTIFY_SOCKET");
  const std::string microseconds = take("WATCHDOG_USEC"), pid = take("WATCHDOG_PID");
  const bool ours = pid.empty() || pid == std::to_string(::getpid());
  const long long timeout = ours ? std::strtoll(microseconds.c_str(), nullptr, 10) : 0;
  return {std::move(socket), std::chrono::microseconds(std::max(timeout, 0LL))};
}

void Notify::watch(MonotonicTime now, MonotonicTime step) {
  const auto interval = watchdog_ / 4;
  if (watchdog_.count() == 0 || now - told_ < interval || now - step >= interval) return;
  told_ = now;
  send("WATCHDOG=1");
}

void Notify::send(std::string_view what) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::copy(socket_.begin(), socket_.end(), address.sun_path);
  if (socket_.front() == '@') address.sun_path[0] = '\0';
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(fd.get(), what.data(), what.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace millrace::daemon
