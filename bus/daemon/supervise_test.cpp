// Proves, with real processes, that a supervised core comes back after any bad end with everybody who was connected,
// that a good end and a wrong configuration are final, and that nothing is left behind; and what systemd would see.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "bus/base/fd.hpp"
#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "bus/daemon/test/clients.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using testing::connect;
using testing::eventually;
using testing::Follow;
using testing::Process;
using testing::TestCore;

Process supervise(const TestCore& core) {
  return Process({testing::program("millraced"), "--supervise", "--config", core.config_file()});
}

// Of a client that waits until the supervised core is there.
const BusOptions patient{.name = "test", .timeout = 60s};

pid_t core_pid(Bus& bus) {
  const auto report = bus.status();
  return report ? report->pid : 0;
}

bool gone(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return !(stat >> number >> name >> state) || state == "Z";
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Publishes numbered trades and follows them, as one process of the bus that lives on.
class PublisherAndFollower {
 public:
  explicit PublisherAndFollower(Bus& bus) : publisher_(*bus.publisher("trade_events", "maker")), follow_(bus) {}

  bool publish() {
    const Published published = testing::publish_numbered(publisher_);
    if (published) published_ = published.sequence.value();
    status_ = published.status;
    return bool(published);
  }
  // Publishes until the follower has seen one that was published after this call. What it meets on the way is allowed.
  bool flows() {
    std::uint64_t fresh = 0;
    return eventually([&] {
      if (publish() && fresh == 0) fresh = published_;
      EXPECT_NE(status_, PublishStatus::closed) << publisher_.error().message;
      follow_.poll();
      return (fresh != 0 && follow_.count() >= fresh) || ::testing::Test::HasFailure();
    });
  }
  bool drained() {
    return eventually([&] {
      publisher_.idle();
      follow_.poll();
      return follow_.count() == published_ || ::testing::Test::HasFailure();
    });
  }
  [[nodiscard]] std::uint64_t published() const { return published_; }
  [[nodiscard]] PublishStatus status() const { return status_; }

 private:
  Publisher publisher_;
  Follow follow_;
  PublishStatus status_ = PublishStatus::ok;
  std::uint64_t published_ = 0;
};

TEST(Supervise, AKilledCoreComesBackWithAllThatWasCommittedAndEverybodyGoesOn) {
  TestCore core("", false);
  Process supervisor = supervise(core);
  auto bus = connect(core, patient);
  ASSERT_NE(bus, nullptr) << supervisor.errors();
  PublisherAndFollower both(*bus);
  ASSERT_TRUE(both.flows());
  constexpr int deaths = 4;
  for (int death = 0; death < deaths; ++death) {
    const pid_t pid = core_pid(*bus);
    ASSERT_GT(pid, 0);
    ASSERT_NE(pid, supervisor.pid());
    ASSERT_TRUE(testing::stop_and_wait(pid));  // what is published from here on is in its memory only
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(both.publish());
    const MonotonicTime killed = system_clock().monotonic();
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(eventually([&] { return !bus->connected(); }));
    EXPECT_FALSE(both.publish());
    EXPECT_EQ(both.status(), PublishStatus::disconnected) << "its calls say so meanwhile";
    ASSERT_TRUE(both.flows()) << supervisor.errors();
    const auto away = system_clock().monotonic() - killed;
    std::printf("kill -9 of the core to the next event published and followed: %lld ms (of these it waited %d ms)\n",
                static_cast<long long>(away / 1ms), 100 << death);
    EXPECT_TRUE(eventually([&] {
      const pid_t next = core_pid(*bus);
      return next > 0 && next != pid;
    }));
  }
  EXPECT_TRUE(both.drained());
  EXPECT_EQ(count_of(supervisor.errors(), "millraced was ended by signal SIGKILL; it is started again in "), deaths)
      << supervisor.errors();
  EXPECT_EQ(count_of(supervisor.errors(), "events of the core before were saved from memory"), deaths)
      << supervisor.errors();
  const pid_t last = core_pid(*bus);
  supervisor.signal(SIGTERM);
  EXPECT_EQ(supervisor.wait(), 0) << supervisor.errors();
  EXPECT_TRUE(gone(last));
}

TEST(Supervise, AGoodEndOfTheCoreIsTheSupervisorsToo) {
  TestCore core("", false);
  Process supervisor = supervise(core);
  auto bus = connect(core, patient);
  ASSERT_NE(bus, nullptr) << supervisor.errors();
  ::kill(core_pid(*bus), SIGTERM);
  EXPECT_EQ(supervisor.wait(), 0) << supervisor.errors();
}

TEST(Supervise, IfItIsKilledItselfTheCoreEndsInGoodOrder) {
  TestCore core("", false);
  Process supervisor = supervise(core);
  auto bus = connect(core, patient);
  ASSERT_NE(bus, nullptr) << supervisor.errors();
  const pid_t pid = core_pid(*bus);
  ASSERT_GT(pid, 0);
  supervisor.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return gone(pid); }));
  EXPECT_NE(supervisor.errors().find("millraced ends: draining and syncing"), std::string::npos);
  EXPECT_NE(::access((core.folder() + "/run/manifest").c_str(), F_OK), 0) << "there is nothing to salvage";
}

TEST(Supervise, AWrongConfigurationIsTriedOnce) {
  TestCore core("[topics.trade_events]\npublishers = 0\n", false);
  Process supervisor = supervise(core);
  EXPECT_EQ(supervisor.wait(), 2);
  EXPECT_EQ(supervisor.errors().find("started again"), std::string::npos) << supervisor.errors();
}

TEST(Supervise, WhatCannotStartYetIsTriedAgainUntilItCan) {
  TestCore first;
  TestCore second("", false);
  Process supervisor = supervise(second);
  ASSERT_TRUE(eventually([&] { return count_of(supervisor.errors(), "it is started again in") >= 2; }));
  EXPECT_NE(supervisor.errors().find("millraced ended with status 1; it is started again in 100 ms"), std::string::npos)
      << supervisor.errors();
  EXPECT_NE(supervisor.errors().find("started again in 200 ms"), std::string::npos) << supervisor.errors();
  EXPECT_EQ(first.stop(), 0);
  EXPECT_NE(connect(second, patient), nullptr) << supervisor.errors();
  supervisor.signal(SIGINT);
  EXPECT_EQ(supervisor.wait(), 0) << supervisor.errors();
}

TEST(Supervise, AStopWhileItWaitsEndsItAtOnce) {
  TestCore first;
  TestCore second("", false);
  Process supervisor = supervise(second);
  // Then the next wait is longer than this test would like to.
  ASSERT_TRUE(eventually([&] { return supervisor.errors().find("again in 1600 ms") != std::string::npos; }));
  supervisor.signal(SIGTERM);
  EXPECT_EQ(supervisor.wait(), 1) << "the status of the last run";
  EXPECT_EQ(supervisor.errors().find("again in 3200 ms"), std::string::npos) << supervisor.errors();
}

TEST(Systemd, HearsThatTheCoreIsReadyThatItsLoopLivesAndThatItEnds) {
  TestCore core("", false);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = core.folder() + "/notify";
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ::setenv("WATCHDOG_USEC", "200000", 1);
  Process process({testing::program("millraced"), "--config", core.config_file()});
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  const auto hears = [&](const std::string& what) {
    return eventually([&] {
      char text[64];
      const ssize_t size = ::recv(fd.get(), text, sizeof text, 0);
      return size > 0 && std::string(text, static_cast<std::size_t>(size)) == what;
    });
  };
  EXPECT_TRUE(hears("READY=1")) << process.errors();
  EXPECT_NE(connect(core, patient), nullptr) << "it is";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(hears("WATCHDOG=1"));
  process.signal(SIGTERM);
  EXPECT_TRUE(hears("STOPPING=1"));
  EXPECT_EQ(process.wait(), 0);
}

TEST(Systemd, TheUnitIsSound) {
  const std::string analyze = "/usr/bin/systemd-analyze";
  if (::access(analyze.c_str(), X_OK) != 0) GTEST_SKIP() << "no systemd-analyze here";
  std::ifstream in(MILLRACE_UNIT);
  std::string unit((std::istreambuf_iterator<char>(in)), {});
  // It looks for the program.
  const std::string installed = "/usr/bin/millraced";
  ASSERT_NE(unit.find(installed), std::string::npos);
  unit.replace(unit.find(installed), installed.size(), testing::program("millraced"));
  const TestCore place("", false);
  std::ofstream(place.folder() + "/millraced.service") << unit;
  Process process({analyze, "verify", "--man=no", place.folder() + "/millraced.service"});
  const auto status = process.wait();
  EXPECT_EQ(process.errors().find("millraced.service:"), std::string::npos) << process.errors();
  EXPECT_EQ(status, 0) << process.errors();
}

}  // namespace
}  // namespace millrace
