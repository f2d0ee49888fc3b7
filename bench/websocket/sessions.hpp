// WebSocket sessions of one client thread, each with one live subscription, read as their sockets fill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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
    std::unique_ptr<std::byte[]> buffer;
    std::size_t capacity = 0;
    std::size_t used = 0;
    std::uint64_t first_offset = 0;  // of the subscription
    std::uint64_t events = 0;
  };

  [[nodiscard]] Status connect(Session& session, std::uint16_t port);
  [[nodiscard]] Status subscribe(Session& session, const std::string& request);
  // Takes what the socket has, at most once; false if it has nothing. Without `wait` it does not block.
  [[nodiscard]] Result<bool> read(Session& session, bool wait);
  // Looks at the whole messages in the buffer.
  [[nodiscard]] Status look(Session& session);
  [[nodiscard]] Status look_at(Session& session, const Message& message, WallTime now);

  UniqueFd epoll_;
  bool binary_ = false;
  std::vector<Session> sessions_;
  std::vector<Seen> events_;  // of the message that is looked at
  std::uint64_t wanted_ = 0;  // of each session, from the beginning
  Received received_;
  FastClock clock_;
};

}  // namespace millrace::bench
