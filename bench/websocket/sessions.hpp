// WebSocket sessions of one client thread, each with one live subscription, read as their sockets fill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/histogram.hpp"
#include "bench/websocket/message.hpp"
#include "bus/base/fast_clock.hpp"
#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"

namespace millrace::bench {

struct Received {
  Histogram latency;  // of every event at every session, from its publish time until its message was complete
  std::uint64_t events = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  WallTime first_published;
  WallTime last_received;
};

class Sessions {
 public:
  // `count` sessions are connected, and their subscriptions confirmed at the same offset, when this returns. Errors:
  // what the socket says, or what the gateway answered.
  [[nodiscard]] static Result<Sessions> open(std::uint16_t port, std::size_t count, const std::string& topic,
                                             bool binary);

  // Reads until each session has had the next `count` trades, once each and in order; they are numbered from 1 on.
  // Error: one is missing, comes again or is not what was published; the gateway closes a session; nothing comes for
  // 30 s.
  [[nodiscard]] Result<Received> receive(std::uint64_t count);

 private:
  struct Session {
    UniqueFd fd;
    std::vector<std::byte> rest;     // of what was read: the beginning of a message
    std::uint64_t first_offset = 0;  // of the subscription
    std::uint64_t events = 0;
  };
  using Bytes = std::span<const std::byte>;

  [[nodiscard]] Status connect(Session& session, std::uint16_t port);
  [[nodiscard]] Status subscribe(Session& session, const std::string& request);
  // The session's rest, and behind it what its socket has now; if it has nothing, waits for it with `wait`. Valid until
  // the next read. The caller keeps what it could not use yet.
  [[nodiscard]] Result<Bytes> read(Session& session, bool wait);
  static void keep(Session& session, Bytes rest) { session.rest.assign(rest.begin(), rest.end()); }
  // Looks at the whole messages of what was read at `now`.
  [[nodiscard]] Status look(Session& session, Bytes bytes, WallTime now);
  [[nodiscard]] Status look_at(Session& session, const Message& message, WallTime now);

  UniqueFd epoll_;
  bool binary_ = false;
  std::vector<Session> sessions_;
  std::vector<std::byte> buffer_;  // that all sessions are read into
  std::vector<Seen> events_;       // of the message that is looked at
  std::uint64_t wanted_ = 0;       // of each session, from the beginning
  Received received_;
  FastClock clock_;
};

}  // namespace millrace::bench
