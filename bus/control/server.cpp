#include "bus/control/server.hpp"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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

// Of one turn, in which the caller grants no page.
constexpr std::size_t events_a_turn = 32;
constexpr int messages_a_turn = 4;  // of one client
constexpr int accepts_a_turn = 16;

void raise_descriptor_limit(std::size_t clients) {
  const rlim_t wanted = 2 * clients + 256;  // a socket and a process each, and what else the process has open
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // with less, those beyond it are refused
}

bool is_client_name(const std::string& name) {
  return name.size() <= client_name_size_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

Result<Server> Server::open(const std::string& path, mode_t mode, Limits limits) {
  raise_descriptor_limit(limits.clients);
  auto listener = Listener::bind(path, mode);
  if (!listener) return fail(listener.error());
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("cannot make an epoll", errno);
  Server server(std::move(*listener), std::move(epoll), limits);
  if (!server.watch(EPOLL_CTL_ADD, server.listener_.fd(), EPOLLIN, token_of(Source::listener, 0))) {
    return fail_errno("cannot watch " + path, errno);
  }
  return server;
}

bool Server::watch(int operation, int fd, std::uint32_t events, std::uint64_t token) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
}

std::uint64_t Server::do_work(MonotonicTime now, Handler& handler) {
  std::array<epoll_event, events_a_turn> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const ClientId id = event.data.u64 >> 2;
    switch (static_cast<Source>(event.data.u64 & 3)) {
      case Source::listener:
        accept(now);
        break;
      case Source::process:
        on_process_end(id, handler);
        break;
      case Source::socket:
        const auto it = sessions_.find(id);
        if (it == sessions_.end()) break;
        if ((event.events & EPOLLOUT) != 0) flush(it->second);
        if ((event.events & ~EPOLLOUT) != 0) read(it->second, handler);
        break;
    }
  }
  cut_off_silent(now);
  remove_leaving(handler);
  return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}

void Server::accept(MonotonicTime now) {
  for (int i = 0; i < accepts_a_turn; ++i) {
    auto accepted = listener_.accept();
    if (!accepted) {
      ++counters_.refused;
      continue;
    }
    if (!*accepted) return;
    Session session;
    session.connection = std::move(**accepted);
    session.client.id = next_id_++;
    session.client.peer = session.connection->peer();
    session.user = session.client.peer.uid;
    session.accepted = now;
    if (const Status status = admit(std::move(session)); !status) ++counters_.refused;
  }
}

Status Server::admit(Session session) {
  const auto refuse = [&session](const Error& error) {
    (void)session.connection->send(make_error(error, 0));
    return fail(error);
  };
  if (sessions_.size() >= limits_.clients) {
    return refuse({millrace::ErrorCode::exhausted,
                   "the core already has " + std::to_string(limits_.clients) + " clients: close some"});
  }
  const auto of_user = sessions_of_user_.find(session.user);
  if (session.user != limits_.unlimited_user && of_user != sessions_of_user_.end() &&
      of_user->second >= limits_.clients_of_user) {
    return refuse({millrace::ErrorCode::exhausted, "user " + std::to_string(session.user) + " already has " +
                                                       std::to_string(limits_.clients_of_user) +
                                                       " clients of the core, as many as one user may: close some"});
  }
  auto pidfd = session.connection->peer_pidfd();
  if (!pidfd) return refuse(pidfd.error());
  session.pidfd = std::move(*pidfd);
  const ClientId id = session.client.id;
  if (!watch(EPOLL_CTL_ADD, session.connection->fd(), EPOLLIN, token_of(Source::socket, id)) ||
      !watch(EPOLL_CTL_ADD, session.pidfd.get(), EPOLLIN, token_of(Source::process, id))) {
    return refuse({millrace::ErrorCode::exhausted, "the core cannot watch another client"});
  }
  ++counters_.accepted;
  silent_.emplace_back(session.accepted, id);
  ++sessions_of_user_[session.user];
  sessions_.emplace(id, std::move(session));
  return {};
}

void Server::erase(std::map<ClientId, Session>::iterator session) {
  const auto of_user = sessions_of_user_.find(session->second.user);
  if (--of_user->second == 0) sessions_of_user_.erase(of_user);
  sessions_.erase(session);
}

void Server::on_process_end(ClientId id, Handler& handler) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  // What it had still sent is of no use: it is dead.
  if (it->second.connection) disconnect(it->second, handler);
  const Client client = it->second.client;
  erase(it);
  if (!client.incarnation.is_nil()) handler.on_dead(client);
}

void Server::read(Session& session, Handler& handler) {
  for (int i = 0; i < messages_a_turn && session.connection && !session.cut_off; ++i) {
    const auto received = session.connection->receive();
    if (!received) {
      ++counters_.rejected_messages;
      send(session, make_error(received.error(), 0), {});
      return cut_off(session);
    }
    if (received->closed) return disconnect(session, handler);
    if (!received->packet) return;
    on_packet(session, *received, handler);
  }
}

void Server::on_packet(Session& session, const Connection::Received& received, Handler& handler) {
  Status taken;
  std::uint64_t correlation = 0;
  if (received.sender != session.client.peer.pid) {
    // A child that inherited the socket: the death of its parent would be taken for its own.
    taken = fail(millrace::ErrorCode::not_permitted,
                 "process " + std::to_string(received.sender) + " uses the connection of process " +
                     std::to_string(session.client.peer.pid) + ": open one of its own");
  } else if (const auto message = decode_request(received.packet->bytes); !message) {
    taken = fail(message.error());
  } else {
    correlation = message->correlation;
    const HelloT* hello = message->body.AsHello();
    if (session.client.incarnation.is_nil() != (hello != nullptr)) {
      taken = fail(millrace::ErrorCode::invalid_argument, "the first message, and no other, must be Hello");
    } else if (hello != nullptr) {
      taken = on_hello(session, *hello, correlation, handler);
    } else {
      handler.on_message(session.client, *message);
    }
  }
  if (taken) return;
  ++counters_.rejected_messages;
  send(session, make_error(taken.error(), correlation), {});
  cut_off(session);
}

Status Server::on_hello(Session& session, const HelloT& hello, std::uint64_t correlation, Handler& handler) {
  if (hello.protocol_version != protocol_version) {
    return fail(millrace::ErrorCode::unsupported, "this core speaks protocol version " +
                                                      std::to_string(protocol_version) +
                                                      ": use the same millrace release on both sides");
  }
  Client client = session.client;
  if (hello.incarnation) client.incarnation = from_wire<Incarnation>(*hello.incarnation);
  if (client.incarnation.is_nil()) {
    return fail(millrace::ErrorCode::invalid_argument, "a Hello without an incarnation: send 16 random bytes");
  }
  if (!is_client_name(hello.client_name)) {
    return fail(millrace::ErrorCode::invalid_argument,
                "a client's name has at most " + std::to_string(client_name_size_max) + " printable ASCII characters");
  }
  client.name = hello.client_name;
  const auto before = session_of(client, handler);
  if (!before) return fail(before.error());
  if (*before == nullptr) {
    session.client = client;
    handler.on_hello(session.client, correlation);
    return {};
  }
  Session& kept = **before;
  kept.connection = std::move(session.connection);
  kept.client.peer = client.peer;
  kept.client.name = client.name;
  kept.writing = false;
  kept.held = true;
  session.connection.reset();
  session.held = false;
  leaving_.push_back(session.client.id);
  if (!watch(EPOLL_CTL_MOD, kept.connection->fd(), EPOLLIN, token_of(Source::socket, kept.client.id))) cut_off(kept);
  handler.on_hello(kept.client, correlation);
  return {};
}

Result<Server::Session*> Server::session_of(const Client& client, Handler& handler) {
  for (auto& [id, session] : sessions_) {
    if (session.client.incarnation != client.incarnation) continue;
    if (session.client.peer.pid != client.peer.pid) {
      // Whoever passed for it could have its pages given away by dying.
      return fail(millrace::ErrorCode::not_permitted, "this incarnation is that of process " +
                                                          std::to_string(session.client.peer.pid) +
                                                          ": each process makes its own at random");
    }
    if (session.connection) disconnect(session, handler);  // its end is not seen yet
    if (session.held) return &session;
  }
  return nullptr;
}

void Server::cut_off_silent(MonotonicTime now) {
  while (!silent_.empty() && now - silent_.front().first > limits_.hello_timeout) {
    const auto it = sessions_.find(silent_.front().second);
    silent_.pop_front();
    if (it == sessions_.end() || !it->second.connection || !it->second.client.incarnation.is_nil()) continue;
    ++counters_.late_hellos;
    send(it->second, make_error({millrace::ErrorCode::timed_out, "no Hello came in time: connect again"}, 0), {});
    cut_off(it->second);
  }
}

void Server::cut_off(Session& session) {
  if (std::exchange(session.cut_off, true)) return;
  leaving_.push_back(session.client.id);
}

void Server::disconnect(Session& session, Handler& handler) {
  session.connection.reset();
  session.cut_off = false;
  session.held = !session.client.incarnation.is_nil() && handler.on_disconnected(session.client);
  if (!session.held) leaving_.push_back(session.client.id);
}

void Server::remove_leaving(Handler& handler) {
  for (std::size_t i = 0; i < leaving_.size(); ++i) {  // a handler may add to it
    const auto it = sessions_.find(leaving_[i]);
    if (it == sessions_.end()) continue;
    Session& session = it->second;
    if (session.connection && session.cut_off) disconnect(session, handler);
    if (!session.connection && !session.held) erase(it);
  }
  leaving_.clear();
}

void Server::send(ClientId client, const MessageT& message, std::span<const int> fds) {
  const auto it = sessions_.find(client);
  if (it != sessions_.end()) send(it->second, message, fds);
}

void Server::send(Session& session, const MessageT& message, std::span<const int> fds) {
  if (!session.connection || session.cut_off) return;
  SendStatus status = session.connection->send(message, fds);
  if (status == SendStatus::too_large) {
    const std::string kind = EnumNameBody(message.body.type);
    const Error error{millrace::ErrorCode::too_large,
                      "the answer, " + kind + ", exceeds " + std::to_string(message_size_max) + " bytes"};
    status = session.connection->send(make_error(error, message.correlation));
  }
  note(session, status);
}

void Server::flush(Session& session) {
  if (session.connection && !session.cut_off) note(session, session.connection->flush());
}

// Draws the consequences of a send.
void Server::note(Session& session, SendStatus status) {
  if (status == SendStatus::overflow) ++counters_.overflows;
  if (status != SendStatus::ok) return cut_off(session);
  if (session.connection->has_queued() == session.writing) return;
  session.writing = !session.writing;
  const std::uint32_t events = session.writing ? EPOLLIN | EPOLLOUT : EPOLLIN;
  const std::uint64_t token = token_of(Source::socket, session.client.id);
  if (!watch(EPOLL_CTL_MOD, session.connection->fd(), events, token)) cut_off(session);
}

void Server::send_all(const MessageT& message) {
  for (auto& [id, session] : sessions_) send(session, message, {});
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
