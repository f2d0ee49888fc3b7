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
};

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
};

enum class SendStatus {
  ok,        // sent, or queued
  overflow,  // the peer does not read: its queue is full, cut it off
  closed,    // the peer is gone
};

class Connection {
 public:
  explicit Connection(UniqueFd fd) : fd_(std::move(fd)) {}
  // Errors: not_found or io_failed, naming `path`.
  [[nodiscard]] static Result<Connection> connect(const std::string& path);

  // Duplicates of `fds` travel along.
  [[nodiscard]] SendStatus send(const MessageT& message, std::span<const int> fds = {});
  [[nodiscard]] SendStatus flush();
  [[nodiscard]] bool has_queued() const { return !queue_.empty(); }

  struct Received {
    std::optional<Packet> packet;  // nullopt: nothing now, or closed
    bool closed = false;
  };
  // Errors: too_large (a packet beyond message_size_max, or with too many descriptors).
  [[nodiscard]] Result<Received> receive();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Peer peer() const;

 private:
  UniqueFd fd_;
  std::deque<Packet> queue_;
  std::size_t queued_bytes_ = 0;
};

class Listener {
 public:
  // A socket file at `path` that nobody answers any more is replaced. Errors: in_use if somebody does.
  [[nodiscard]] static Result<Listener> bind(const std::string& path, mode_t mode);
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = default;
  ~Listener();

  [[nodiscard]] std::optional<Connection> accept();  // nullopt: nobody now
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Listener(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

// A descriptor that becomes readable when the process is dead. Errors: not_found if it is dead already.
[[nodiscard]] Result<UniqueFd> open_pidfd(pid_t pid);

}  // namespace millrace::control
