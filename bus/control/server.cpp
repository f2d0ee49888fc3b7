#include "bus/control/server.hpp"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace millrace::control {
namespace {

// What an epoll event is about: a client's socket or its process.
enum class Source : std::uint64_t { listener, socket, process };
std::uint64_t token_of(Source source, ClientId id) {
  return id << 2 | static_cast<std::uint64_t>(source);
}

constexpr int messages_a_turn = 64;  // of one client, so that none keeps the others waiting

}  // namespace

Result<Server> Server::open(const std::string& path, mode_t mode, Limits limits) {
  auto listener = Listener::bind(path, mode);
  if (!listener) return fail(listener.error());
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("cannot make an epoll", errno);
  Server server(std::move(*listener), std::move(epoll), limits);
  if (!server.watch(server.listener_.fd(), token_of(Source::listener, 0))) {
    return fail_errno("cannot watch " + path, errno);
  }
  return server;
}

bool Server::watch(int fd, std::uint64_t token) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

std::uint64_t Server::do_work(MonotonicTime now, Handler& handler) {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t token = events[static_cast<std::size_t>(i)].data.u64;
    const auto source = static_cast<Source>(token & 3);
    if (source == Source::listener) {
      accept(now);
      continue;
    }
    const auto it = sessions_.find(token >> 2);
    if (it == sessions_.end()) continue;
    if (source == Source::socket) {
      if (it->second.connection) read(it->second, handler);
    } else {
      // What it had still sent is of no use: it is dead.
      if (it->second.connection) disconnect(it->second, handler);
      const Client client = it->second.client;
      sessions_.erase(it);
      if (!client.incarnation.is_nil()) handler.on_dead(client);
    }
  }
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    Session& session = it->second;
    if (session.connection && session.connection->has_queued()) {
      const SendStatus status = session.connection->flush();
      if (status == SendStatus::overflow) ++counters_.overflows;
      if (status != SendStatus::ok) session.cut_off = true;
    }
    const bool silent = session.client.incarnation.is_nil();
    if (session.connection && silent && now - session.accepted > limits_.hello_timeout) {
      ++counters_.late_hellos;
      session.cut_off = true;
    }
    if (session.connection && session.cut_off) disconnect(session, handler);
    it = !session.connection && !session.held ? sessions_.erase(it) : std::next(it);
  }
  return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}

void Server::accept(MonotonicTime now) {
  while (auto connection = listener_.accept()) {
    if (sessions_.size() >= limits_.clients) {
      ++counters_.refused;
      const Error error{millrace::ErrorCode::exhausted,
                        "the core already has " + std::to_string(limits_.clients) + " clients"};
      (void)connection->send(make_error(error, 0));
      continue;
    }
    Session session;
    session.client.id = next_id_++;
    session.client.peer = connection->peer();
    session.accepted = now;
    auto pidfd = open_pidfd(session.client.peer.pid);
    if (!pidfd) continue;  // dead already
    session.pidfd = std::move(*pidfd);
    if (!watch(connection->fd(), token_of(Source::socket, session.client.id))) continue;
    if (!watch(session.pidfd.get(), token_of(Source::process, session.client.id))) continue;
    session.connection = std::move(*connection);
    ++counters_.accepted;
    sessions_.emplace(session.client.id, std::move(session));
  }
}

void Server::read(Session& session, Handler& handler) {
  for (int i = 0; i < messages_a_turn && session.connection && !session.cut_off; ++i) {
    const auto received = session.connection->receive();
    if (!received) {
      ++counters_.rejected_messages;
      send(session.client.id, make_error(received.error(), 0));
      session.cut_off = true;
      return;
    }
    if (received->closed) return disconnect(session, handler);
    if (!received->packet) return;
    on_packet(session, *received->packet, handler);
  }
}

void Server::on_packet(Session& session, const Packet& packet, Handler& handler) {
  const auto message = decode(packet.bytes);
  const HelloT* hello = message ? message->body.AsHello() : nullptr;
  const bool first = session.client.incarnation.is_nil();
  Error error;
  if (!message) {
    error = message.error();
  } else if (first != (hello != nullptr)) {
    error = {millrace::ErrorCode::invalid_argument, "the first message, and no other, must be Hello"};
  } else if (first && (hello->protocol_version != protocol_version || !hello->incarnation)) {
    error = {millrace::ErrorCode::unsupported, "this core speaks protocol version " + std::to_string(protocol_version) +
                                                   ": use the same millrace release on both sides"};
  } else if (first) {
    session.client.incarnation = from_wire<Incarnation>(*hello->incarnation);
    session.client.name = hello->client_name;
    return handler.on_hello(session.client, message->correlation);
  } else {
    return handler.on_message(session.client, *message);
  }
  ++counters_.rejected_messages;
  send(session.client.id, make_error(error, message ? message->correlation : 0));
  session.cut_off = true;
}

void Server::disconnect(Session& session, Handler& handler) {
  session.connection.reset();
  session.cut_off = false;
  session.held = !session.client.incarnation.is_nil() && handler.on_disconnected(session.client);
}

void Server::send(ClientId client, const MessageT& message, std::span<const int> fds) {
  const auto it = sessions_.find(client);
  if (it == sessions_.end() || !it->second.connection) return;
  const SendStatus status = it->second.connection->send(message, fds);
  if (status == SendStatus::overflow) ++counters_.overflows;
  if (status != SendStatus::ok) it->second.cut_off = true;
}

void Server::send_all(const MessageT& message) {
  for (const auto& [id, session] : sessions_) send(id, message);
}

void Server::kill(ClientId client) {
  const auto it = sessions_.find(client);
  if (it != sessions_.end()) ::syscall(SYS_pidfd_send_signal, it->second.pidfd.get(), SIGKILL, nullptr, 0);
}

std::size_t Server::connected() const {
  std::size_t count = 0;
  for (const auto& [id, session] : sessions_) count += session.connection.has_value();
  return count;
}

}  // namespace millrace::control
