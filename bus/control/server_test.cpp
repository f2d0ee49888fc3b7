// Proves that the core's end of the control socket tells disconnection from death, and that no client, however it
// behaves, disturbs another.
#include "bus/control/server.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "bus/base/temporary_folder.hpp"
#include "bus/control/testing.hpp"

namespace millrace::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Answers as the core would, and keeps what it was told.
struct Core final : Server::Handler {
  void on_hello(const Client& client, std::uint64_t correlation) override {
    hellos.push_back(client);
    server->send(client.id, make_message(WelcomeT{}, correlation));
  }
  void on_message(const Client& client, const MessageT& message) override {
    messages.push_back(message.body.type);
    server->send(client.id, make_message(answer, message.correlation));
  }
  bool on_disconnected(const Client& client) override {
    disconnected.push_back(client.id);
    return keeps;
  }
  void on_dead(const Client& client) override { dead.push_back(client.id); }

  Server* server = nullptr;
  bool keeps = false;
  ErrorAnswerT answer;
  std::vector<Client> hellos;
  std::vector<Body> messages;
  std::vector<ClientId> disconnected;
  std::vector<ClientId> dead;
};

MessageT hello_of(const Incarnation& incarnation, const std::string& name = "test", std::uint32_t version = 1) {
  HelloT hello;
  hello.protocol_version = version;
  hello.client_name = name;
  hello.incarnation = std::make_unique<Uuid>(to_wire(incarnation));
  return make_message(std::move(hello), 1);
}
MessageT hello() {
  return hello_of(Incarnation{random_uuid_bytes()});
}

class ControlServer : public ::testing::Test {
 protected:
  ControlServer() { start({}); }

  void start(Server::Limits limits) {
    server_.reset();
    auto server = Server::open(path_, 0600, limits);
    ASSERT_TRUE(server) << server.error().message;
    server_.emplace(std::move(*server));
    core_.server = &*server_;
  }
  void step() { server_->do_work(clock_.monotonic(), core_); }
  void step_until(const std::function<bool()>& done) {
    while (!done()) step();  // the test's own time limit ends it
  }
  [[nodiscard]] Connection connect() const {
    auto connection = Connection::connect(path_);
    EXPECT_TRUE(connection) << connection.error().message;
    return std::move(*connection);
  }
  // The next message for `client`; nullopt once the server has closed.
  std::optional<MessageT> next(Connection& client) {
    while (true) {
      step();
      auto received = client.receive();
      if (!received || received->closed) return std::nullopt;
      if (!received->packet) continue;
      auto message = decode(received->packet->bytes);
      EXPECT_TRUE(message) << message.error().message;
      return std::move(*message);
    }
  }
  Connection welcomed(const MessageT& with) {
    Connection client = connect();
    EXPECT_EQ(client.send(with), SendStatus::ok);
    const auto answer = next(client);
    EXPECT_TRUE(answer && answer->body.type == Body::Welcome);
    return client;
  }
  bool is_served(Connection& client) {
    if (client.send(make_message(GetStatusT{}, 5)) != SendStatus::ok) return false;
    const auto answer = next(client);
    return answer && answer->correlation == 5;
  }
  // What the server says before it closes.
  Error refusal(Connection& client) {
    const auto answer = next(client);
    if (!answer || answer->body.type != Body::ErrorAnswer) return {millrace::ErrorCode::internal, "no error answer"};
    EXPECT_FALSE(next(client));
    return to_error(*answer->body.AsErrorAnswer());
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/core.sock";
  ManualClock clock_;
  std::optional<Server> server_;
  Core core_;
};

TEST_F(ControlServer, AClientIsWelcomedAndThenServed) {
  Connection client = welcomed(hello());
  ASSERT_EQ(core_.hellos.size(), 1u);
  EXPECT_EQ(core_.hellos[0].name, "test");
  EXPECT_EQ(core_.hellos[0].peer.pid, ::getpid());
  EXPECT_TRUE(is_served(client));
  EXPECT_THAT(core_.messages, ElementsAre(Body::GetStatus));
}

TEST_F(ControlServer, WhateverIsNoRequestIsAnsweredCountedAndCutOffAndOthersAreServed) {
  Connection bystander = welcomed(hello());
  flatbuffers::FlatBufferBuilder bodiless;
  FinishMessageBuffer(bodiless, CreateMessage(bodiless, 1, Body::AttachPublisher, 0));
  const std::string whole(reinterpret_cast<const char*>(bodiless.GetBufferPointer()), bodiless.GetSize());
  const std::vector<std::string> bad = {
      std::string(),                            // empty
      "GET / HTTP/1.1\r\n\r\n",                 // another protocol
      std::string(4096, '\xff'),                // garbage
      whole.substr(0, whole.size() / 2),        // half a message
      whole,                                    // a kind without a body
      std::string(message_size_max + 1, '\0'),  // too large
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    Connection client = welcomed(hello());
    ASSERT_TRUE(testing::send_raw(client.fd(), bad[i])) << i;
    EXPECT_NE(refusal(client).code, millrace::ErrorCode::internal) << i;
    EXPECT_EQ(server_->counters().rejected_messages, i + 1);
  }
  EXPECT_THAT(core_.messages, IsEmpty());
  EXPECT_TRUE(is_served(bystander));
  EXPECT_EQ(server_->connected(), 1u);
}

TEST_F(ControlServer, TheRefusalArrivesEvenIfMoreGarbageIsStillUnread) {
  Connection client = welcomed(hello());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(testing::send_raw(client.fd(), "garbage"));
  EXPECT_EQ(refusal(client).code, millrace::ErrorCode::invalid_argument);
}

TEST_F(ControlServer, DescriptorsThatAClientSendsAreNotKept) {
  Connection client = welcomed(hello());
  const std::size_t before = testing::open_descriptors();
  for (const std::size_t fds : {1u, 8u, 9u, 30u}) (void)testing::send_raw(client.fd(), "x", fds);
  for (int i = 0; i < 10; ++i) step();
  EXPECT_LE(testing::open_descriptors(), before);
  Connection other = welcomed(hello());
  EXPECT_TRUE(is_served(other));
}

TEST_F(ControlServer, HelloIsTheFirstMessageAndNoOther) {
  Connection early = connect();
  ASSERT_EQ(early.send(make_message(GetStatusT{}, 9)), SendStatus::ok);
  EXPECT_THAT(refusal(early).message, HasSubstr("must be Hello"));
  Connection twice = welcomed(hello());
  ASSERT_EQ(twice.send(hello()), SendStatus::ok);
  EXPECT_THAT(refusal(twice).message, HasSubstr("must be Hello"));
}

TEST_F(ControlServer, AHelloThatMakesNoSenseIsRefusedWithTheReason) {
  const auto refused = [this](const MessageT& message) {
    Connection client = connect();
    EXPECT_EQ(client.send(message), SendStatus::ok);
    return refusal(client);
  };
  const Incarnation some{random_uuid_bytes()};
  EXPECT_EQ(refused(hello_of(some, "test", 2)).code, millrace::ErrorCode::unsupported);
  EXPECT_THAT(refused(hello_of(Incarnation{})).message, HasSubstr("16 random bytes"));
  EXPECT_THAT(refused(hello_of(some, std::string(65, 'n'))).message, HasSubstr("64 printable"));
  EXPECT_THAT(refused(hello_of(some, "\033[2J")).message, HasSubstr("64 printable"));
  EXPECT_THAT(core_.hellos, IsEmpty());
}

TEST_F(ControlServer, WhoSaysNothingIsCutOffAfterTheTimeLimitAndWhoSaidHelloIsNot) {
  Connection friendly = welcomed(hello());
  Connection silent = connect();
  step();
  EXPECT_EQ(server_->connected(), 2u);
  clock_.advance(Server::Limits{}.hello_timeout);
  step();
  EXPECT_EQ(server_->connected(), 2u);
  clock_.advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(refusal(silent).code, millrace::ErrorCode::timed_out);
  EXPECT_EQ(server_->counters().late_hellos, 1u);
  EXPECT_EQ(server_->connected(), 1u);
  EXPECT_TRUE(is_served(friendly));
  EXPECT_THAT(core_.disconnected, IsEmpty());  // the handler never knew of it
}

TEST_F(ControlServer, AClientThatNeverReadsIsCutOffAloneAndOneThatReadsLateLosesNothing) {
  Connection reader = welcomed(hello());
  const ClientId deaf_id = core_.hellos[0].id + 1;
  Connection deaf = welcomed(hello());
  ErrorAnswerT body;
  body.message = std::string(4096, 'm');
  std::uint64_t sent = 0;
  while (server_->counters().overflows == 0) {
    server_->send(deaf_id, make_message(body, ++sent));
    step();
  }
  EXPECT_EQ(server_->counters().overflows, 1u);
  EXPECT_THAT(core_.disconnected, ElementsAre(deaf_id));

  // As much as waits for the other at most, read only afterwards.
  const std::uint64_t burst = std::min<std::uint64_t>(sent - 1, 200);
  for (std::uint64_t i = 1; i <= burst; ++i) server_->send(core_.hellos[0].id, make_message(body, 1000 + i));
  for (std::uint64_t i = 1; i <= burst; ++i) {
    const auto message = next(reader);
    ASSERT_TRUE(message);
    ASSERT_EQ(message->correlation, 1000 + i);
  }
}

TEST_F(ControlServer, AnAnswerTooLargeToSendArrivesAsAnErrorOfItsRequest) {
  Connection client = welcomed(hello());
  core_.answer.message = std::string(message_size_max, 'x');
  ASSERT_EQ(client.send(make_message(GetStatusT{}, 77)), SendStatus::ok);
  const auto answer = next(client);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->correlation, 77u);
  EXPECT_EQ(to_error(*answer->body.AsErrorAnswer()).code, millrace::ErrorCode::too_large);
  core_.answer.message.clear();
  EXPECT_TRUE(is_served(client));
}

TEST_F(ControlServer, AThousandConnectionsAreServed) {
  std::vector<Connection> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(welcomed(hello()));
  EXPECT_EQ(server_->connected(), 1000u);
  for (Connection& client : clients) ASSERT_TRUE(is_served(client));
  clients.clear();
  step_until([this] { return server_->connected() == 0; });
  EXPECT_EQ(core_.disconnected.size(), 1000u);
  EXPECT_THAT(core_.dead, IsEmpty());
}

TEST_F(ControlServer, OneBeyondTheLimitIsToldSoAndTheNextFindsTheSeatThatWasFreed) {
  start({.clients = 2});
  std::optional<Connection> first = welcomed(hello());
  Connection second = welcomed(hello());
  Connection third = connect();
  EXPECT_EQ(refusal(third).code, millrace::ErrorCode::exhausted);
  EXPECT_EQ(server_->counters().refused, 1u);
  first.reset();
  step_until([this] { return server_->connected() == 1; });
  Connection fourth = welcomed(hello());
  EXPECT_TRUE(is_served(second));
}

TEST_F(ControlServer, OneUserCannotTakeAllSeatsUnlessItIsTheCoresOwn) {
  start({.clients = 10, .clients_of_user = 2, .unlimited_user = ::getuid() + 1});
  std::optional<Connection> first = welcomed(hello());
  Connection second = welcomed(hello());
  Connection third = connect();
  const Error error = refusal(third);
  EXPECT_EQ(error.code, millrace::ErrorCode::exhausted);
  EXPECT_THAT(error.message, HasSubstr("user " + std::to_string(::getuid()) + " already has 2 clients"));
  EXPECT_EQ(server_->counters().refused, 1u);
  first.reset();
  step_until([this] { return server_->connected() == 1; });
  Connection fourth = welcomed(hello());
  EXPECT_TRUE(is_served(second));

  start({.clients = 10, .clients_of_user = 2});
  std::vector<Connection> own;
  for (int i = 0; i < 10; ++i) own.push_back(welcomed(hello()));
  EXPECT_EQ(server_->counters().refused, 0u);
}

TEST_F(ControlServer, WithoutDescriptorsItTurnsClientsAwayAndDoesNotSpin) {
  Connection before = welcomed(hello());
  Connection late = connect();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlim_t usual = limit.rlim_cur;
  limit.rlim_cur = static_cast<rlim_t>(UniqueFd(::open("/dev/null", O_RDONLY)).get());  // the next free number
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  step();
  EXPECT_EQ(server_->counters().refused, 1u);
  EXPECT_EQ(server_->do_work(clock_.monotonic(), core_), 0u);
  EXPECT_TRUE(is_served(before));
  limit.rlim_cur = usual;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_FALSE(next(late));
  Connection after = welcomed(hello());
}

TEST_F(ControlServer, TheEndOfAConnectionIsNotADeath) {
  core_.keeps = true;
  std::optional<Connection> client = welcomed(hello());
  client.reset();
  step_until([this] { return !core_.disconnected.empty(); });
  for (int i = 0; i < 100; ++i) step();
  EXPECT_THAT(core_.dead, IsEmpty());
}

TEST_F(ControlServer, AProcessThatComesBackKeepsItsIdAndLeavesNothingBehind) {
  start({.clients = 4, .clients_of_user = 4, .unlimited_user = ::getuid() + 1});
  core_.keeps = true;
  const Incarnation incarnation{random_uuid_bytes()};
  for (int i = 0; i < 50; ++i) {
    Connection client = welcomed(hello_of(incarnation));
    ASSERT_TRUE(is_served(client));
    ASSERT_EQ(core_.hellos.back().id, core_.hellos.front().id);
  }
  EXPECT_EQ(server_->counters().refused, 0u);
}

TEST_F(ControlServer, AClientThatConnectsAgainBeforeItsEndIsSeenTakesTheNewConnection) {
  core_.keeps = true;
  const Incarnation incarnation{random_uuid_bytes()};
  Connection old = welcomed(hello_of(incarnation));
  Connection fresh = welcomed(hello_of(incarnation));
  EXPECT_EQ(core_.hellos[0].id, core_.hellos[1].id);
  EXPECT_THAT(core_.disconnected, ElementsAre(core_.hellos[0].id));
  EXPECT_FALSE(next(old));
  EXPECT_TRUE(is_served(fresh));
  EXPECT_EQ(server_->connected(), 1u);
}

// ---- with processes of their own

class ControlServerProcesses : public ControlServer {
 protected:
  // Runs `body` in a child and returns its number; the child ends with what `body` returns.
  static pid_t spawn(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    return child;
  }
  static int exit_status(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // In a child: waits until something can be read, and returns what came; -1 is the end.
  static int kind_received(Connection& client) {
    ::fcntl(client.fd(), F_SETFL, 0);
    char byte;
    (void)::recv(client.fd(), &byte, 1, MSG_PEEK);
    const auto received = client.receive();
    if (!received || !received->packet) return -1;
    const auto message = decode(received->packet->bytes);
    return message ? static_cast<int>(message->body.type) : -1;
  }
  // In a child: says hello and stays until it is killed.
  [[nodiscard]] int stay(const Incarnation& incarnation, bool fork_too, int pipe) const {
    auto client = Connection::connect(path_);
    if (!client || client->send(hello_of(incarnation)) != SendStatus::ok) return 1;
    if (fork_too) {
      const pid_t grandchild = spawn([] { return ::pause(); });
      if (::write(pipe, &grandchild, sizeof grandchild) != sizeof grandchild) return 1;
    }
    return ::pause();
  }
};

TEST_F(ControlServerProcesses, DeathByKillIsSeenWhileAForkedChildStillHoldsTheSocket) {
  core_.keeps = true;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd from(pipe[0]), to(pipe[1]);
  const pid_t victim = spawn([&] { return stay(Incarnation{random_uuid_bytes()}, true, to.get()); });
  pid_t grandchild = 0;
  ASSERT_EQ(::read(from.get(), &grandchild, sizeof grandchild), static_cast<ssize_t>(sizeof grandchild));
  step_until([this] { return core_.hellos.size() == 1; });

  ::kill(victim, SIGKILL);
  step_until([this] { return !core_.dead.empty(); });

  EXPECT_THAT(core_.dead, ElementsAre(core_.hellos[0].id));
  EXPECT_THAT(core_.disconnected, ElementsAre(core_.hellos[0].id));
  EXPECT_EQ(::kill(grandchild, 0), 0);  // which has the socket open to this moment
  EXPECT_EQ(server_->connected(), 0u);
  ::kill(grandchild, SIGKILL);
  EXPECT_EQ(exit_status(victim), -1);
}

TEST_F(ControlServerProcesses, AKeptClientsDeathIsSeenAfterItsConnectionEndedAndAForgottenOnesIsNot) {
  for (const bool keeps : {true, false}) {
    core_.keeps = keeps;
    core_.disconnected.clear();
    core_.dead.clear();
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    UniqueFd from(pipe[0]), to(pipe[1]);
    const pid_t child = spawn([&] {
      to.reset();
      auto client = Connection::connect(path_);
      if (!client || client->send(hello()) != SendStatus::ok || kind_received(*client) < 0) return 1;
      client = fail(millrace::ErrorCode::disconnected, "closed");
      char byte;
      return static_cast<int>(::read(from.get(), &byte, 1));
    });
    step_until([this] { return !core_.disconnected.empty(); });
    EXPECT_THAT(core_.dead, IsEmpty());
    to.reset();
    EXPECT_EQ(exit_status(child), 0);
    if (keeps) step_until([this] { return !core_.dead.empty(); });
    for (int i = 0; i < 100; ++i) step();
    EXPECT_EQ(core_.dead.size(), keeps ? 1u : 0u);
  }
}

TEST_F(ControlServerProcesses, AClientCanBeKilledAndItsDeathFollows) {
  core_.keeps = true;
  const pid_t child = spawn([&] { return stay(Incarnation{random_uuid_bytes()}, false, -1); });
  step_until([this] { return core_.hellos.size() == 1; });
  EXPECT_EQ(core_.hellos[0].peer.pid, child);
  server_->kill(core_.hellos[0].id);
  step_until([this] { return !core_.dead.empty(); });
  EXPECT_THAT(core_.dead, ElementsAre(core_.hellos[0].id));
  EXPECT_EQ(exit_status(child), -1);
}

TEST_F(ControlServerProcesses, NoProcessPassesForAnotherByItsIncarnation) {
  core_.keeps = true;
  const Incarnation incarnation{random_uuid_bytes()};
  Connection owner = welcomed(hello_of(incarnation));
  const pid_t impostor = spawn([&] {
    auto client = Connection::connect(path_);
    if (!client || client->send(hello_of(incarnation)) != SendStatus::ok) return 1;
    return kind_received(*client) == static_cast<int>(Body::ErrorAnswer) ? 0 : 2;
  });
  step_until([this] { return server_->counters().rejected_messages == 1; });
  EXPECT_EQ(exit_status(impostor), 0);
  for (int i = 0; i < 100; ++i) step();
  EXPECT_THAT(core_.dead, IsEmpty());
  EXPECT_EQ(core_.hellos.size(), 1u);
  EXPECT_TRUE(is_served(owner));
}

TEST_F(ControlServerProcesses, AChildThatInheritedAConnectionCannotSpeakThroughIt) {
  Connection client = welcomed(hello());
  const pid_t child = spawn([&] { return client.send(make_message(GetStatusT{}, 3)) == SendStatus::ok ? 0 : 1; });
  EXPECT_EQ(exit_status(child), 0);
  EXPECT_EQ(refusal(client).code, millrace::ErrorCode::not_permitted);
  EXPECT_THAT(core_.messages, IsEmpty());
}

}  // namespace
}  // namespace millrace::control
