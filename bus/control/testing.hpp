// What the tests of the control socket share: packets that Connection would not send.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "bus/base/assert.hpp"

namespace millrace::control::testing {

[[nodiscard]] inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

// One packet of these bytes, with `fds` times standard error along. False if the kernel refused it.
inline bool send_raw(int socket, std::string_view bytes, std::size_t fds = 0) {
  constexpr std::size_t fds_max = 32;
  MILLRACE_ASSERT(fds <= fds_max, "more than a test may send");
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(fds_max * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (fds > 0) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds * sizeof(int));
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(fds * sizeof(int));
    const int number = 2;
    for (std::size_t i = 0; i < fds; ++i) std::memcpy(CMSG_DATA(message) + i * sizeof(int), &number, sizeof number);
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}

}  // namespace millrace::control::testing
