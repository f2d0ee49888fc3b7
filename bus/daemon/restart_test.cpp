// Proves how long a program that ends badly is waited for, how its end is told, and what systemd is told of a good one.
#include "bus/daemon/restart.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "bus/base/fd.hpp"
#include "bus/base/temporary_folder.hpp"
#include "bus/daemon/notify.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

TEST(RestartDelay, DoublesFromATenthToFiveSecondsAndBeginsAgainAfterASteadyRun) {
  RestartDelay delay;
  for (const auto expected : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5000ms, 5000ms}) {
    EXPECT_EQ(delay.next(1s), expected);
  }
  EXPECT_EQ(delay.next(10s), 5s) << "not yet steady";
  EXPECT_EQ(delay.next(10'001ms), 100ms);
  EXPECT_EQ(delay.next(0s), 200ms);
}

TEST(DescribeEnd, NamesTheStatusOrTheSignal) {
  const auto wait_status = [](auto end) {
    const pid_t child = ::fork();
    if (child == 0) {
      end();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  };
  const int three = wait_status([] { ::_exit(3); });
  EXPECT_EQ(describe_end(three), "ended with status 3");
  EXPECT_EQ(exit_status_of(three), 3);
  const int killed = wait_status([] { ::raise(SIGKILL); });
  EXPECT_EQ(describe_end(killed), "was ended by signal SIGKILL");
  EXPECT_EQ(exit_status_of(killed), 137);
}

// What systemd would hear.
class Listener {
 public:
  Listener() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path().c_str());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  [[nodiscard]] std::string path() const { return folder_.path() + "/notify"; }
  [[nodiscard]] std::string heard() {
    char text[256];
    const ssize_t size = ::recv(fd_.get(), text, sizeof text, 0);
    return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
  }

 private:
  TemporaryFolder folder_;
  UniqueFd fd_;
};

TEST(Notify, TellsTheSocketOfTheEnvironmentAndLeavesItToNoChild) {
  Listener listener;
  ::setenv("NOTIFY_SOCKET", listener.path().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "4000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  Notify notify = Notify::from_environment();
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
  notify.ready();
  EXPECT_EQ(listener.heard(), "READY=1");
  notify.watch({10'000'000'000}, {10'000'000'000});
  EXPECT_EQ(listener.heard(), "WATCHDOG=1");
  notify.stopping();
  EXPECT_EQ(listener.heard(), "STOPPING=1");
}

TEST(Notify, TellsTheWatchdogNothingOnceTheLoopDoesNotWakeUp) {
  Listener listener;
  Notify notify(listener.path(), 4s);
  MonotonicTime now{100'000'000'000};
  const MonotonicTime last_step = now + 500ms;
  std::string told;
  for (int i = 0; i < 60; ++i, now = now + 50ms) {
    notify.watch(now, std::min(now, last_step));
    told += listener.heard().empty() ? '.' : '!';
  }
  EXPECT_EQ(told.substr(0, 21), "!...................!") << "each quarter of its time";
  EXPECT_EQ(told.find('!', 21), std::string::npos) << "the loop has not woken up for as long";
  notify.watch(now, now);
  EXPECT_EQ(listener.heard(), "WATCHDOG=1") << "it goes on";
}

TEST(Notify, AnothersWatchdogAndNoSocketAreNobodys) {
  Listener listener;
  ::setenv("NOTIFY_SOCKET", listener.path().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "4000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  Notify notify = Notify::from_environment();
  notify.watch({10'000'000'000}, {10'000'000'000});
  EXPECT_EQ(listener.heard(), "");
  Notify nobody = Notify::from_environment();
  nobody.ready();
  EXPECT_EQ(listener.heard(), "");
}

}  // namespace
}  // namespace millrace::daemon
