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

namespace millrace::bench {

namespace {

constexpr std::chrono::seconds silence_max{30};
constexpr std::size_t read_size = 512 * 1024;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

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
  MILLRACE_TRY(send_all(fd,
                        "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
  for (;;) {
    const auto bytes = read(session, true);
    if (!bytes) return fail(bytes.error());
    const std::string_view answer = text_of(*bytes);
    const std::size_t end = answer.find("\r\n\r\n");
    if (end != answer.npos && !answer.starts_with("HTTP/1.1 101 ")) {
      return fail(ErrorCode::exhausted, "the gateway answered " + std::string(answer.substr(0, answer.find("\r\n"))));
    }
    keep(session, end == answer.npos ? *bytes : bytes->subspan(end + 4));
    if (end != answer.npos) return {};
  }
}

Status Sessions::subscribe(Session& session, const std::string& request) {
  MILLRACE_TRY(send_all(session.fd.get(), request));
  for (;;) {
    const auto bytes = read(session, true);
    if (!bytes) return fail(bytes.error());
    WsFrame frame;
    const WsFound found = find_frame(*bytes, frame);
    if (found == WsFound::broken) return fail(ErrorCode::corrupt, "the gateway's answer is no WebSocket frame");
    if (found == WsFound::incomplete || frame.size() > bytes->size()) {
      keep(session, *bytes);
      continue;
    }
    const std::string_view text = text_of(bytes->subspan(frame.header_size, frame.payload_size));
    const auto message = read_text(text, events_);
    if (!message || message->type != "subscribed") {
      return fail(ErrorCode::internal, "the gateway answered " + std::string(text));
    }
    session.first_offset = message->first_offset;
    keep(session, bytes->subspan(frame.size()));
    return {};
  }
}

Result<Sessions::Bytes> Sessions::read(Session& session, bool wait) {
  const std::size_t begun = session.rest.size();
  if (buffer_.size() < begun + read_size) buffer_.resize(begun + read_size);
  std::copy(session.rest.begin(), session.rest.end(), buffer_.begin());
  const ssize_t size = ::recv(session.fd.get(), buffer_.data() + begun, read_size, wait ? 0 : MSG_DONTWAIT);
  if (size == 0) return fail(ErrorCode::disconnected, "the gateway closed a session");
  const bool nothing = size < 0 && !wait && (errno == EAGAIN || errno == EWOULDBLOCK);
  if (size < 0 && !nothing) return fail_errno("read from the gateway", errno);
  const std::size_t more = nothing ? 0 : static_cast<std::size_t>(size);
  received_.bytes += more;
  return Bytes(buffer_).first(begun + more);
}

Status Sessions::look(Session& session, Bytes bytes, WallTime now) {
  for (WsFrame frame; !bytes.empty(); bytes = bytes.subspan(frame.size())) {
    const WsFound found = find_frame(bytes, frame);
    if (found == WsFound::broken) return fail(ErrorCode::corrupt, "what came is no whole WebSocket frame");
    if (found == WsFound::incomplete || frame.size() > bytes.size()) break;
    const Bytes payload = bytes.subspan(frame.header_size, frame.payload_size);
    if (frame.opcode != WsFrame::text && frame.opcode != WsFrame::binary) {
      return fail(ErrorCode::disconnected, "the gateway sent a frame of opcode " + std::to_string(frame.opcode));
    }
    const bool is_binary = frame.opcode == WsFrame::binary;
    const auto message = is_binary ? read_binary(payload, events_) : read_text(text_of(payload), events_);
    if (!message) return fail(ErrorCode::corrupt, "a message is not what the protocol says");
    if (message->type == "events") {
      if (is_binary != binary_) return fail(ErrorCode::internal, "events come in the other encoding");
      MILLRACE_TRY(look_at(session, *message, now));
    } else if (message->type != "heartbeat" && message->type != "run") {
      return fail(ErrorCode::internal, "the gateway says " + std::string(text_of(payload)));
    }
  }
  keep(session, bytes);
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
      const auto bytes = read(session, false);
      if (!bytes) return fail(bytes.error());
      MILLRACE_TRY(look(session, *bytes, clock_.now()));
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
