// Proves, with real processes of another user, that the core asks the kernel who comes to its control socket: for who
// may publish on a topic, user by user and group by group, and for how many seats one user may have.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "bus/control/server.hpp"
#include "bus/daemon/test/processes.hpp"

namespace millrace {
namespace {

using testing::TestCore;

// Takes as many seats as one user gets, and then wants one more.
std::string one_too_many(const std::string& socket) {
  std::vector<control::Connection> seats;
  for (std::size_t i = 0; i < control::Server::Limits{}.clients_of_user; ++i) {
    auto seat = control::Connection::connect(socket);
    if (!seat) return "seat " + std::to_string(i) + ": " + seat.error().message;
    control::HelloT hello;
    hello.protocol_version = control::protocol_version;
    hello.incarnation = std::make_unique<control::Uuid>(control::to_wire(Incarnation{random_uuid_bytes()}));
    if (seat->send(control::make_message(std::move(hello), 1)) != control::SendStatus::ok) return "no hello";
    seats.push_back(std::move(*seat));
  }
  const auto bus = Bus::connect({.name = "somebody", .socket = socket});
  return bus ? "connected" : std::string(to_string(bus.error().code)) + ": " + bus.error().message;
}

// A process's answer in words: why it may not publish, or that the log has its event.
std::string publish_one(const std::string& socket) {
  auto bus = Bus::connect({.name = "somebody", .socket = socket});
  if (!bus) return "not connected: " + bus.error().message;
  auto publisher = (*bus)->publisher("trade_events", "somebody");
  if (!publisher) return std::string(to_string(publisher.error().code)) + ": " + publisher.error().message;
  if (!publisher->publish<schemas::TradeEvent>([](schemas::TradeEvent&) {})) return "not published";
  BackOffIdle idle;
  while (publisher->recorded_sequence() < Sequence(1)) idle.idle(0);  // the test's time limit ends it
  return "recorded";
}

class Rights : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "only root can become another user";
    const passwd* found = ::getpwnam("nobody");
    ASSERT_NE(found, nullptr);
    uid_ = found->pw_uid;
    gid_ = found->pw_gid;
  }
  // What `nobody`, in these supplementary groups, hears from a core whose topic has these writers.
  [[nodiscard]] std::string answer_with(const std::string& writers, const std::vector<gid_t>& groups = {}) const {
    return answer_to(publish_one, "[topics.trade_events]\nwriters = " + writers + "\n", groups);
  }
  [[nodiscard]] std::string answer_to(std::string (*ask)(const std::string& socket), const std::string& config = "",
                                      const std::vector<gid_t>& groups = {}) const {
    TestCore core(config);
    std::filesystem::permissions(core.folder(), std::filesystem::perms(0755));
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const UniqueFd from(pipe[0]);
    UniqueFd to(pipe[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      rlimit files{};
      if (::getrlimit(RLIMIT_NOFILE, &files) != 0) ::_exit(1);
      files.rlim_cur = files.rlim_max;
      if (::setrlimit(RLIMIT_NOFILE, &files) != 0) ::_exit(1);
      if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(gid_) != 0 || ::setuid(uid_) != 0) ::_exit(1);
      const std::string answer = ask(core.socket());
      ::_exit(::write(to.get(), answer.data(), answer.size()) > 0 ? 0 : 1);
    }
    to.reset();
    std::array<char, 1024> answer{};
    const ssize_t size = ::read(from.get(), answer.data(), answer.size());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    return {answer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

  uid_t uid_ = 0;
  gid_t gid_ = 0;
};

TEST_F(Rights, WhoIsNotListedIsRefusedAndToldTheTopicItsUserAndWhoMay) {
  const std::string answer = answer_with(R"(["daemon", "@bin"])");
  EXPECT_EQ(answer, "not_permitted: user " + std::to_string(uid_) +
                        " may not publish on 'trade_events': its `writers` are daemon, @bin");
}

TEST_F(Rights, WhoIsListedPublishes) {
  EXPECT_EQ(answer_with(R"(["daemon", "nobody"])"), "recorded");
}

TEST_F(Rights, WhoseGroupIsListedPublishes) {
  const std::string own = ::getgrgid(gid_)->gr_name;
  EXPECT_EQ(answer_with("[\"@" + own + "\"]"), "recorded");
}

TEST_F(Rights, ASupplementaryGroupCountsToo) {
  std::vector<gid_t> groups;
  for (gid_t group = 1000; group < 1040; ++group) groups.push_back(group);  // more than are expected at first
  groups.push_back(::getgrnam("bin")->gr_gid);
  EXPECT_EQ(answer_with(R"(["@bin"])", groups), "recorded");
}

TEST_F(Rights, OneUserCannotTakeAllSeatsAndIsToldSo) {
  EXPECT_EQ(answer_to(one_too_many), "exhausted: user " + std::to_string(uid_) +
                                         " already has 1024 clients of the core, as many as one user may: close some");
}

}  // namespace
}  // namespace millrace
