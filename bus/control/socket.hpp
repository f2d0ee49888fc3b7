// SOCK_SEQPACKET Unix sockets that carry control messages and descriptors. Nothing here blocks but connect().
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"
#include "bus/control/codec.hpp"

namespace millrace::control {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};  // supplementary
};

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
};

enum class SendStatus {
  ok,        // sent, or queued
  overflow,  // the peer does not read: its queue is full, cut it off
  closed,    // the peer is gone
  too_large  // beyond message_size_max, or request_size_max for who called connect(): not sent, the connection stands
};

class Connection {
 public:
  explicit Connection(UniqueFd fd, std::size_t send_max = message_size_max) : fd_(std::move(fd)), send_max_(send_max) {}
  // Errors: not_found or io_failed, naming `path`.
  [[nodiscard]] static Result<Connection> connect(const std::string& path);

  // Duplicates of `fds` travel along.
  [[nodiscard]] SendStatus send(const MessageT& message, std::span<const int> fds = {});
  [[nodiscard]] SendStatus flush();
  [[nodiscard]] bool has_queued() const { return !queue_.empty(); }

  struct Received {
    std::optional<Packet> packet;  // nullopt: nothing now, or closed
    bool closed = false;
    // The process that sent the packet, on a connection that was accepted: one that inherited the socket is not its
    // peer.
    pid_t sender = 0;
  };
  // Descriptors that come along are close-on-exec. What the peer sent before it closed comes before `closed`.
  // Errors: too_large (a packet beyond message_size_max, or with too many descriptors).
  [[nodiscard]] Result<Received> receive();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Who called connect(), as it was then.
  [[nodiscard]] Peer peer() const;
  // Readable when that process is dead. Before Linux 6.5 it is found by its number, which another process could have by
  // now if the first died since. Errors: not_found if it is dead already; exhausted.
  [[nodiscard]] Result<UniqueFd> peer_pidfd() const;

 private:
  UniqueFd fd_;
  std::size_t send_max_;
  std::deque<Packet> queue_;
  std::size_t queued_bytes_ = 0;
};

// Its socket file, and a lock beside it (`path`.lock) that one process holds at a time.
class Listener {
 public:
  // Holding the lock, replaces a socket at `path` that nobody answers any more, and nothing but a socket.
  // Errors: in_use if somebody answers or has the lock.
  [[nodiscard]] static Result<Listener> bind(const std::string& path, mode_t mode);
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  // nullopt: nobody now. Errors: exhausted, if this process has no descriptor left: who waited was turned away.
  [[nodiscard]] Result<std::optional<Connection>> accept();
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Listener(UniqueFd fd, UniqueFd lock, UniqueFd spare, std::string path)
      : fd_(std::move(fd)), lock_(std::move(lock)), spare_(std::move(spare)), path_(std::move(path)) {}
  UniqueFd fd_;
  UniqueFd lock_;
  UniqueFd spare_;  // given up to turn somebody away when there is no other descriptor
  std::string path_;
};

// A descriptor that becomes readable when the process is dead. Errors: not_found if it is dead already.
[[nodiscard]] Result<UniqueFd> open_pidfd(pid_t pid);

}  // namespace millrace::control
