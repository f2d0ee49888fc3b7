#include "bus/control/socket.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "bus/base/assert.hpp"
#include "bus/base/clock.hpp"
#include "bus/base/idle.hpp"

namespace millrace::control {
namespace {

constexpr std::size_t queued_messages_max = 256;
constexpr std::size_t queued_bytes_max = 1 << 20;
constexpr std::size_t fds_max = 8;

// Newer than Debian 12's headers; a kernel that does not know them says so.
constexpr int so_peer_pidfd = 77;   // Linux 6.5
constexpr int so_pass_rights = 83;  // Linux 6.16

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(millrace::ErrorCode::invalid_argument, "the socket path '" + path + "' is longer than " +
                                                           std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// A core that was killed while it started another program leaves that one with copies of its descriptors, the locks
// among them, until its exec. So a lock is not a living core's before some time has passed.
bool wait_for_lock(int fd) {
  BackOffIdle idle;
  const MonotonicTime end = system_clock().monotonic() + std::chrono::seconds(1);
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (system_clock().monotonic() > end) return false;
    idle.idle(0);
  }
  return true;
}

UniqueFd make_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int connect_to(int fd, const sockaddr_un& address) {
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// 0, or errno.
int send_packet(int fd, const Packet& packet) {
  iovec part{const_cast<std::byte*>(packet.bytes.data()), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(fds_max * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!packet.fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(packet.fds.size() * sizeof(int));
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(packet.fds.size() * sizeof(int));
    for (std::size_t i = 0; i < packet.fds.size(); ++i) {
      const int number = packet.fds[i].get();
      std::memcpy(CMSG_DATA(message) + i * sizeof(int), &number, sizeof number);
    }
  }
  return ::sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

}  // namespace

Result<Connection> Connection::connect(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  UniqueFd fd = make_socket();
  if (!fd) return fail_errno("cannot make a socket", errno);
  if (connect_to(fd.get(), *address) != 0) return fail_errno("cannot connect to " + path, errno);
  return Connection(std::move(fd), request_size_max);
}

SendStatus Connection::send(const MessageT& message, std::span<const int> fds) {
  MILLRACE_ASSERT(fds.size() <= fds_max, "no message carries more descriptors");
  Packet packet{encode(message), {}};
  if (packet.bytes.size() > send_max_) return SendStatus::too_large;
  for (const int fd : fds) packet.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  queued_bytes_ += packet.bytes.size();
  queue_.push_back(std::move(packet));
  return flush();
}

SendStatus Connection::flush() {
  while (!queue_.empty()) {
    const int error = send_packet(fd_.get(), queue_.front());
    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ETOOMANYREFS) {
      const bool full = queue_.size() > queued_messages_max || queued_bytes_ > queued_bytes_max;
      return full ? SendStatus::overflow : SendStatus::ok;
    }
    if (error == EINTR) continue;
    if (error != 0) return SendStatus::closed;
    queued_bytes_ -= queue_.front().bytes.size();
    queue_.pop_front();
  }
  return SendStatus::ok;
}

Result<Connection::Received> Connection::receive() {
  // Its size first, so that no buffer for the largest is made each time. ECONNRESET says once that the peer closed with
  // something of ours unread; what it sent before still waits.
  ssize_t size;
  do {
    size = ::recv(fd_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
  if (size < 0) return Received{std::nullopt, errno != EAGAIN, 0};

  Packet packet;
  packet.bytes.resize(std::min(static_cast<std::size_t>(size), message_size_max));
  iovec part{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(fds_max * sizeof(int))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  do {
    size = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return Received{std::nullopt, errno != EAGAIN, 0};

  ucred sender{};
  for (cmsghdr* m = CMSG_FIRSTHDR(&header); m != nullptr; m = CMSG_NXTHDR(&header, m)) {
    if (m->cmsg_level != SOL_SOCKET) continue;
    if (m->cmsg_type == SCM_CREDENTIALS) std::memcpy(&sender, CMSG_DATA(m), sizeof sender);
    if (m->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number;
      std::memcpy(&number, CMSG_DATA(m) + i * sizeof(int), sizeof number);
      packet.fds.emplace_back(number);
    }
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || packet.fds.size() > fds_max) {
    return fail(millrace::ErrorCode::too_large, "a control message exceeds " + std::to_string(message_size_max) +
                                                    " bytes or " + std::to_string(fds_max) + " descriptors");
  }
  // End of file has no sender; an empty packet has one, where the kernel was asked for it.
  if (size == 0 && packet.fds.empty() && sender.pid == 0) return Received{std::nullopt, true, 0};
  return Received{std::move(packet), false, sender.pid};
}

Peer Connection::peer() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  (void)::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size);
  std::vector<gid_t> groups(16);
  for (;;) {
    size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int error = ::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0 ? 0 : errno;
    groups.resize(error == 0 || error == ERANGE ? size / sizeof(gid_t) : 0);
    if (error != ERANGE) return {credentials.pid, credentials.uid, credentials.gid, std::move(groups)};
  }
}

Result<UniqueFd> Connection::peer_pidfd() const {
  int number = -1;
  socklen_t size = sizeof number;
  if (::getsockopt(fd_.get(), SOL_SOCKET, so_peer_pidfd, &number, &size) == 0) return UniqueFd(number);
  const int error = errno;
  if (error == ENOPROTOOPT) return open_pidfd(peer().pid);
  return fail_errno("cannot watch process " + std::to_string(peer().pid), error);
}

Result<Listener> Listener::bind(const std::string& path, mode_t mode) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  const auto in_use = [&] {
    return fail(millrace::ErrorCode::in_use,
                "another core answers at " + path + "; stop it first, or use another runtime_dir");
  };
  // Of two that start at once, one must not take the other's socket, bound but not yet listening, for a dead one.
  UniqueFd lock(::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail_errno("cannot open " + path + ".lock", errno);
  if (!wait_for_lock(lock.get())) return in_use();
  const UniqueFd probe = make_socket();
  if (connect_to(probe.get(), *address) == 0) return in_use();
  struct stat file {};
  const bool refused = errno == ECONNREFUSED;  // so would be anything that is no socket at all
  if (refused && ::lstat(path.c_str(), &file) == 0 && S_ISSOCK(file.st_mode)) ::unlink(path.c_str());

  UniqueFd fd = make_socket();
  if (!fd) return fail_errno("cannot make a socket", errno);
  const int on = 1, off = 0;
  // Inherited by what is accepted: each packet names its sender, and brings no descriptors: closing one that a client
  // chose could block.
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
    return fail_errno("cannot ask for the senders' credentials at " + path, errno);
  }
  (void)::setsockopt(fd.get(), SOL_SOCKET, so_pass_rights, &off, sizeof off);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return fail_errno("cannot bind " + path, errno);
  }
  UniqueFd spare(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Listener listener(std::move(fd), std::move(lock), std::move(spare), path);
  if (::chmod(path.c_str(), mode) != 0) return fail_errno("cannot set the mode of " + path, errno);
  if (::listen(listener.fd(), 1024) != 0) return fail_errno("cannot listen at " + path, errno);
  return listener;
}

Listener::~Listener() {
  if (fd_) ::unlink(path_.c_str());
}

Result<std::optional<Connection>> Listener::accept() {
  UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd) return std::optional<Connection>(std::move(fd));
  if (errno != EMFILE && errno != ENFILE) return std::nullopt;
  // Left waiting, one would wake the loop for ever. The kernel says the same when nobody waits.
  spare_.reset();
  const bool waited = static_cast<bool>(UniqueFd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  spare_ = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!waited) return std::nullopt;
  return fail(millrace::ErrorCode::exhausted, "no descriptor is left for another client: raise the limit (ulimit -n)");
}

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by itself
  if (!fd) return fail_errno("cannot watch process " + std::to_string(pid), errno);
  return fd;
}

}  // namespace millrace::control
