// The core's end of the control socket: accepts, reads, answers, and tells death (the kernel's word, by pidfd) from a
// mere disconnection. One thread steps it; nothing blocks.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/control/socket.hpp"

namespace millrace::control {

// Names a client, a process with its incarnation, for as long as it is connected or kept: one that is kept and connects
// again is the same.
using ClientId = std::uint64_t;

struct Client {
  ClientId id = 0;
  Peer peer;
  std::string name;         // of its hello
  Incarnation incarnation;  // nil before its hello
};

class Server {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // After Hello was taken; the handler sends Welcome.
    virtual void on_hello(const Client& client, std::uint64_t correlation) = 0;
    virtual void on_message(const Client& client, const MessageT& message) = 0;
    // Its socket is closed; the process may live on. True if it still holds something (a ring to write to, leases):
    // then its death is watched for, else it is forgotten here.
    [[nodiscard]] virtual bool on_disconnected(const Client& client) = 0;
    // Its process has ended: nothing of it can be written any more. Last of all.
    virtual void on_dead(const Client& client) = 0;
  };
  struct Counters {
    std::uint64_t accepted = 0;
    std::uint64_t rejected_messages = 0;  // what was no message; its sender is cut off
    std::uint64_t overflows = 0;          // clients cut off because they do not read
    std::uint64_t refused = 0;            // connections beyond a limit, or whose process cannot be watched
    std::uint64_t late_hellos = 0;        // clients cut off because they said nothing
  };
  struct Limits {
    std::size_t clients = 4096;
    std::size_t clients_of_user = 1024;  // of each user but one, so that nobody takes all
    uid_t unlimited_user = ::getuid();   // the core's own, whose processes can end it anyway
    std::chrono::nanoseconds hello_timeout = std::chrono::seconds(5);
  };

  // Raises this process's limit of descriptors, as far as it may, to what so many clients need.
  [[nodiscard]] static Result<Server> open(const std::string& path, mode_t mode, Limits limits);

  // Deals with some of what waits, so that the caller's other work is not kept waiting. Returns how much that was.
  std::uint64_t do_work(MonotonicTime now, Handler& handler);
  // Cuts the client off if it does not read. A message that is too large reaches it as an error of that correlation.
  void send(ClientId client, const MessageT& message, std::span<const int> fds = {});
  void send_all(const MessageT& message);
  // Ends the process behind a client. on_dead follows.
  void kill(ClientId client);

  [[nodiscard]] std::size_t connected() const;
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Session {
    Client client;
    std::optional<Connection> connection;  // empty: disconnected, watched until its process is dead
    UniqueFd pidfd;
    uid_t user = 0;  // whose seat it takes, whatever user its process becomes
    MonotonicTime accepted;
    bool cut_off = false;
    bool writing = false;  // waits to be written to
    bool held = true;      // says the handler, once it is disconnected
  };

  Server(Listener listener, UniqueFd epoll, Limits limits)
      : listener_(std::move(listener)), epoll_(std::move(epoll)), limits_(limits) {}

  void accept(MonotonicTime now);
  [[nodiscard]] Status admit(Session session);
  void erase(std::map<ClientId, Session>::iterator session);
  void on_process_end(ClientId id, Handler& handler);
  void read(Session& session, Handler& handler);
  void on_packet(Session& session, const Connection::Received& received, Handler& handler);
  [[nodiscard]] Status on_hello(Session& session, const HelloT& hello, std::uint64_t correlation, Handler& handler);
  // The session that a process coming back takes up again, if there is one.
  [[nodiscard]] Result<Session*> session_of(const Client& client, Handler& handler);
  void send(Session& session, const MessageT& message, std::span<const int> fds);
  void flush(Session& session);
  void note(Session& session, SendStatus status);
  void cut_off(Session& session);
  void cut_off_silent(MonotonicTime now);
  void disconnect(Session& session, Handler& handler);
  void remove_leaving(Handler& handler);
  // epoll_ctl, false if the kernel refused.
  bool watch(int operation, int fd, std::uint32_t events, std::uint64_t token);

  Listener listener_;
  UniqueFd epoll_;
  Limits limits_;
  std::map<ClientId, Session> sessions_;
  std::map<uid_t, std::size_t> sessions_of_user_;
  std::deque<std::pair<MonotonicTime, ClientId>> silent_;  // by the time of their connection, until their hello is due
  std::vector<ClientId> leaving_;                          // to be disconnected, or forgotten, at the end of this turn
  ClientId next_id_ = 1;
  Counters counters_;
};

}  // namespace millrace::control
