#include "bench/websocket/sessions.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace millrace::bench {

namespace {

constexpr std::chrono::seconds silence_max{30};
constexpr std::size_t buffer_size = 64 * 1024;  // to begin with; a message may be larger

Status send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return fail_errno("send to the gateway", errno);
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

std::string name(const Message& message) {
  return std::to_string(message.first_offset) + " to " + std::to_string(message.next_offset);
}

}  // namespace

Result<Sessions> Sessions::open(std::uint16_t port, std::size_t count, const std::string& topic, bool binary) {
  Sessions made;
  made.binary_ = binary;
  made.epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!made.epoll_) return fail_errno("epoll_create1", errno);
  made.sessions_.resize(count);
  const std::string request = client_frame(R"({"op":"subscribe","topic":")" + topic + R"(","start":"live","format":")" +
                                           (binary ? "binary" : "json") + "\"}");
  for (std::size_t i = 0; i < count; ++i) {
    Session& session = made.sessions_[i];
    MILLRACE_TRY(made.connect(session, port));
    MILLRACE_TRY(made.subscribe(session, request));
    if (session.first_offset != made.sessions_.front().first_offset) {
      return fail(ErrorCode::internal, "events are published before all sessions are subscribed");
    }
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u64 = i;
    if (::epoll_ctl(made.epoll_.get(), EPOLL_CTL_ADD, session.fd.get(), &wanted) != 0) {
      return fail_errno("epoll_ctl", errno);
    }
  }
  return made;
}

Status Sessions::connect(Session& session, std::uint16_t port) {
  session.fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!session.fd) return fail_errno("socket", errno);
  const int fd = session.fd.get();
  const int on = 1;
  const timeval patience{silence_max.count(), 0};
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("connect to the gateway", errno);
  }
  session.capacity = buffer_size;
  session.buffer = std::make_unique_for_overwrite<std::byte[]>(session.capacity);

  MILLRACE_TRY(send_all(fd,
                        "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
  for (;;) {
    if (const auto more = read(session, true); !more) return fail(more.error());
    const std::string_view answer(reinterpret_cast<const char*>(session.buffer.get()), session.used);
    const std::size_t end = answer.find("\r\n\r\n");
    if (end == answer.npos) continue;
    if (!answer.starts_with("HTTP/1.1 101 ")) {
      return fail(ErrorCode::exhausted, "the gateway answered " + std::string(answer.substr(0, answer.find("\r\n"))));
    }
    session.used -= end + 4;
    std::memmove(session.buffer.get(), session.buffer.get() + end + 4, session.used);
    return {};
  }
}

Status Sessions::subscribe(Session& session, const std::string& request) {
  MILLRACE_TRY(send_all(session.fd.get(), request));
  for (;;) {
    WsFrame frame;
    const std::span<const std::byte> bytes(session.buffer.get(), session.used);
    const WsFound found = find_frame(bytes, frame);
    if (found == WsFound::frame && frame.size() <= session.used) {
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + frame.header_size, frame.payload_size);
      const auto message = read_text(text, events_);
      if (!message || message->type != "subscribed") {
        return fail(ErrorCode::internal, "the gateway answered " + std::string(text));
      }
      session.first_offset = message->first_offset;
      session.used -= frame.size();
      std::memmove(session.buffer.get(), session.buffer.get() + frame.size(), session.used);
      return {};
    }
    if (found == WsFound::broken) return fail(ErrorCode::corrupt, "the gateway's answer is no WebSocket frame");
    if (const auto more = read(session, true); !more) return fail(more.error());
  }
}

Result<bool> Sessions::read(Session& session, bool wait) {
  if (session.used == session.capacity) {
    auto larger = std::make_unique_for_overwrite<std::byte[]>(2 * session.capacity);
    std::memcpy(larger.get(), session.buffer.get(), session.used);
    session.buffer = std::move(larger);
    session.capacity *= 2;
  }
  const ssize_t size = ::recv(session.fd.get(), session.buffer.get() + session.used, session.capacity - session.used,
                              wait ? 0 : MSG_DONTWAIT);
  if (size == 0) return fail(ErrorCode::disconnected, "the gateway closed a session");
  if (size < 0 && !wait && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (size < 0) return fail_errno("read from the gateway", errno);
  session.used += static_cast<std::size_t>(size);
  received_.bytes += static_cast<std::uint64_t>(size);
  return true;
}

Status Sessions::look(Session& session) {
  const WallTime now = clock_.now();
  std::span<const std::byte> rest(session.buffer.get(), session.used);
  for (WsFrame frame; !rest.empty();) {
    const WsFound found = find_frame(rest, frame);
    if (found == WsFound::broken) return fail(ErrorCode::corrupt, "what came is no whole WebSocket frame");
    if (found == WsFound::incomplete || frame.size() > rest.size()) break;
    const auto payload = rest.subspan(frame.header_size, frame.payload_size);
    const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
    if (frame.opcode != WsFrame::text && frame.opcode != WsFrame::binary) {
      return fail(ErrorCode::disconnected, "the gateway sent a frame of opcode " + std::to_string(frame.opcode));
    }
    const auto message = frame.opcode == WsFrame::binary ? read_binary(payload, events_) : read_text(text, events_);
    if (!message) return fail(ErrorCode::corrupt, "a message is not what the protocol says");
    if (message->type == "events") {
      if ((frame.opcode == WsFrame::binary) != binary_) {
        return fail(ErrorCode::internal, "events come in the other encoding");
      }
      MILLRACE_TRY(look_at(session, *message, now));
    } else if (message->type != "heartbeat") {
      return fail(ErrorCode::internal, "the gateway says " + std::string(text));
    }
    rest = rest.subspan(frame.size());
  }
  std::memmove(session.buffer.get(), rest.data(), rest.size());
  session.used = rest.size();
  return {};
}

Status Sessions::look_at(Session& session, const Message& message, WallTime now) {
  const std::uint64_t expected = session.first_offset + session.events;
  if (message.first_offset != expected || message.count != events_.size() ||
      message.next_offset != expected + message.count) {
    return fail(ErrorCode::internal, "offset " + std::to_string(expected) + " was next, but a message of " +
                                         std::to_string(events_.size()) + " events comes, from " + name(message));
  }
  for (const Seen& seen : events_) {
    const std::uint64_t number = ++session.events;
    if (seen.offset != session.first_offset + number - 1 || seen.buy_order_id != number || number > wanted_) {
      return fail(ErrorCode::internal, "trade " + std::to_string(number) + " was next, but trade " +
                                           std::to_string(seen.buy_order_id) + " comes, offset " +
                                           std::to_string(seen.offset) + ", in a message from " + name(message));
    }
    received_.latency.add((now - seen.published).count());
  }
  if (received_.events == 0) received_.first_published = events_.front().published;
  received_.last_received = now;
  received_.events += events_.size();
  ++received_.messages;
  return {};
}

Result<Received> Sessions::receive(std::uint64_t count) {
  wanted_ += count;
  received_ = {};
  const std::uint64_t all = count * sessions_.size();
  WallTime last_events = clock_.now();
  std::array<epoll_event, 256> ready;
  while (received_.events < all) {
    const int found = ::epoll_wait(epoll_.get(), ready.data(), ready.size(), 1000);
    if (found < 0 && errno != EINTR) return fail_errno("epoll_wait", errno);
    const std::uint64_t before = received_.events;
    for (int i = 0; i < found; ++i) {
      Session& session = sessions_[ready[static_cast<std::size_t>(i)].data.u64];
      const auto some = read(session, false);
      if (!some) return fail(some.error());
      if (*some) MILLRACE_TRY(look(session));
    }
    const WallTime now = clock_.now();
    if (received_.events > before) last_events = now;
    if (now - last_events > silence_max) {
      return fail(ErrorCode::timed_out, "nothing came for 30 s, and " + std::to_string(all - received_.events) +
                                            " of " + std::to_string(all) + " events are missing");
    }
  }
  return std::move(received_);
}

}  // namespace millrace::bench
