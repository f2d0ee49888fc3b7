// Proves that who may publish on a topic is asked of the kernel, user by user and group by group, when a real process
// of another user comes to the control socket.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "bus/daemon/test/processes.hpp"

namespace millrace {
namespace {

using testing::TestCore;

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
    TestCore core("[topics.trade_events]\nwriters = " + writers + "\n");
    std::filesystem::permissions(core.folder(), std::filesystem::perms(0755));
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const UniqueFd from(pipe[0]);
    UniqueFd to(pipe[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(gid_) != 0 || ::setuid(uid_) != 0) ::_exit(1);
      const std::string answer = publish_one(core.socket());
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

}  // namespace
}  // namespace millrace
