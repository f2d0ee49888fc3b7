// Proves, with real processes and real kills, that no death stops anybody else: publishers, subscribers and the core
// are killed in full flight, everything committed is in the log, and everybody comes back by themselves.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "bus/bus.hpp"
#include "bus/control/socket.hpp"
#include "bus/daemon/test/clients.hpp"

namespace millrace {
namespace {

using testing::connect;
using testing::eventually;
using testing::Follow;
using testing::Process;
using testing::program;
using testing::publish_numbered;
using testing::stop_and_wait;
using testing::TestCore;
using testing::trade_events_status;

std::uint64_t number_in(const std::string& line) {
  return std::stoull(line.substr(line.rfind(' ') + 1));
}

TEST(Processes, APublisherKilledInFullFlightTwentyTimesComesBackAndLosesNothing) {
  TestCore core;
  auto bus = connect(core);
  Follow follow(*bus);
  std::uint64_t recorded = 0;
  for (std::uint64_t life = 1; life <= 20; ++life) {
    Process puppet = core.puppet("trade_events", "maker", 0);
    const auto ready = puppet.line_with("ready");
    ASSERT_TRUE(ready) << puppet.errors();
    unsigned long epoch = 0, next = 0;
    ASSERT_EQ(std::sscanf(ready->c_str(), "ready %lu %lu", &epoch, &next), 2);
    EXPECT_EQ(epoch, life);
    EXPECT_GT(next, recorded);
    for (std::uint64_t i = 0; i < life % 5 + 1; ++i) {
      const auto line = puppet.line_with("recorded");
      ASSERT_TRUE(line);
      recorded = number_in(*line);
    }
    puppet.signal(SIGKILL);
    EXPECT_EQ(puppet.wait(), 128 + SIGKILL);
  }
  Process last = core.puppet("trade_events", "maker", 10);
  const auto done = last.line_with("done");
  ASSERT_TRUE(done) << last.errors();
  EXPECT_TRUE(follow.until(number_in(*done)));
  EXPECT_EQ(follow.count(), number_in(*done)) << "the sequence went on through every life";
  EXPECT_EQ(core.stop(), 0);
}

TEST(Processes, AfterTheCoreIsKilledEverybodyComesBackAndNothingRecordedOrCommittedIsLost) {
  TestCore core;
  auto bus = connect(core);
  Follow follow(*bus);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("ready")) << puppet.errors();
  for (int death = 0; death < 5; ++death) {
    const auto line = puppet.line_with("recorded");
    ASSERT_TRUE(line) << puppet.errors();
    ASSERT_TRUE(follow.until(number_in(*line)));
    core.kill();
    core.start();
    const std::uint64_t before = number_in(*line);
    std::uint64_t now = before;
    while (now <= before + 100'000) {
      const auto next = puppet.line_with("recorded");
      ASSERT_TRUE(next) << "the publisher did not come back: " << puppet.errors();
      now = number_in(*next);
    }
    ASSERT_TRUE(follow.until(now)) << (follow.follower().error() ? follow.follower().error()->message : "");
  }
  puppet.signal(SIGKILL);
  EXPECT_EQ(core.stop(), 0);
}

TEST(Processes, ASubscriptionOfTheNextCoreOutlivesThatOfTheDeadOne) {
  TestCore core;
  auto bus = connect(core);
  Follow follow(*bus);
  core.kill();
  ASSERT_TRUE(eventually([&] { return !bus->connected(); }));
  core.start();
  ASSERT_TRUE(eventually([&] { return follow.poll(), follow.follower().freshness().connected; }));
  { const auto other = bus->subscribe("trade_events", {.level = Level::live}); }
  // What the core lists once that one is given back, which comes behind whatever the dead core's memory caused.
  std::vector<control::Level> levels;
  ASSERT_TRUE(eventually([&] {
    const auto topic = trade_events_status(*bus);
    if (!topic) return false;
    levels.clear();
    for (const auto& subscriber : topic->subscribers) levels.push_back(subscriber->level);
    return std::find(levels.begin(), levels.end(), control::Level::live) == levels.end();
  }));
  EXPECT_EQ(levels, std::vector{control::Level::recorded}) << "without it, what it reads is overwritten";
}

TEST(Processes, WhoeverLeavesWhileTheNextCoreTakesThemInAgainKeepsNoNames) {
  TestCore core;
  const SubscribeOptions risk{.level = Level::synced, .start = StartEarliest{}, .on_gap = {}, .consumer = "risk"};
  for (int round = 0; round < 20; ++round) {
    {
      auto bus = connect(core);
      auto publisher = bus->publisher("trade_events", "maker");
      auto subscriber = bus->subscribe("trade_events", risk);
      ASSERT_TRUE(publisher && subscriber);
      core.kill();
      core.start();
    }
    auto bus = connect(core);
    ASSERT_TRUE(eventually([&] { return bus->publisher("trade_events", "maker").has_value(); })) << round;
    ASSERT_TRUE(eventually([&] { return bus->subscribe("trade_events", risk).has_value(); })) << round;
    const auto topic = trade_events_status(*bus);
    ASSERT_TRUE(topic);
    EXPECT_EQ(topic->subscribers.size(), 0u) << round;
  }
}

TEST(Processes, WhatADeadPublisherCommittedIsSavedThoughTheCoreDiesWithIt) {
  TestCore core;
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("ready")) << puppet.errors();
  const auto line = puppet.line_with("recorded");
  ASSERT_TRUE(line);
  core.process().signal(SIGSTOP);  // from here on nothing is recorded, and the publisher fills its pages
  ASSERT_TRUE(eventually([&] { return true; }));
  puppet.signal(SIGKILL);
  (void)puppet.wait();
  core.kill();
  core.start();
  auto bus = connect(core);
  Follow follow(*bus);
  ASSERT_TRUE(follow.until(number_in(*line)));
  Process heir = core.puppet("trade_events", "maker", 1);
  const auto ready = heir.line_with("ready");
  ASSERT_TRUE(ready);
  ASSERT_TRUE(follow.until(number_in(*ready)));
  EXPECT_EQ(follow.count(), number_in(*ready)) << "the heir's first event follows all that was saved";
}

// The memory's file is replaced while a core starts: it is killed at that moment, and so are those that follow.
TEST(Processes, WhatADeadCoreHeldOutlivesCoresThatDieWhileTheyStart) {
  constexpr std::uint64_t held = 1000;
  TestCore core;
  {
    auto bus = connect(core);
    auto publisher = bus->publisher("trade_events", "maker");
    ASSERT_TRUE(publisher) << publisher.error().message;
    ASSERT_TRUE(stop_and_wait(core.process().pid()));
    for (std::uint64_t i = 0; i < held; ++i) ASSERT_TRUE(publish_numbered(*publisher));
  }
  std::string segment;
  std::ifstream manifest(core.folder() + "/run/manifest");
  ASSERT_TRUE(std::getline(manifest, segment) && std::getline(manifest, segment));
  const auto inode = [&] {
    struct stat status {};
    return ::stat(segment.c_str(), &status) == 0 ? status.st_ino : 0;
  };
  core.kill();
  for (int i = 0; i < 3; ++i) {
    const ino_t before = inode();
    ASSERT_NE(before, 0u);
    Process starting({program("millraced"), "--config", core.config_file()});
    ASSERT_TRUE(eventually([&] { return inode() != before && inode() != 0; })) << starting.errors();
    starting.signal(SIGKILL);
    (void)starting.wait();
  }
  core.start();
  auto bus = connect(core);
  Follow follow(*bus);
  EXPECT_TRUE(follow.until(held));
}

TEST(Processes, ASubscriberKilledWhileItReadsStopsNobody) {
  TestCore core;
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("ready")) << puppet.errors();
  for (int i = 0; i < 10; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto bus = Bus::connect({.name = "victim", .socket = core.socket()});
      if (!bus) ::_exit(1);
      auto subscriber = (*bus)->subscribe("trade_events", {.level = Level::live});
      if (!subscriber) ::_exit(2);
      for (;;) subscriber->poll([](const Event&) {});
    }
    ASSERT_TRUE(puppet.line_with("recorded"));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  }
  ASSERT_TRUE(puppet.line_with("recorded")) << "the publisher goes on";
  auto bus = connect(core);
  EXPECT_TRUE(eventually([&] {
    const auto topic = trade_events_status(*bus);
    return topic && topic->subscribers.empty();
  })) << "the leases of the dead are given back";
}

TEST(Processes, ANameIsHeldByOneLivingProcessUntilItIsTakenOver) {
  TestCore core;
  Process first = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(first.line_with("recorded")) << first.errors();
  Process second = core.puppet("trade_events", "maker", 1);
  EXPECT_EQ(second.wait(), 1);
  EXPECT_NE(second.errors().find("in_use"), std::string::npos) << second.errors();
  EXPECT_NE(second.errors().find(std::to_string(first.pid())), std::string::npos) << "it names who has it";
  first.signal(SIGSTOP);  // a stopped process holds its name too; only death fences
  Process third = core.puppet("trade_events", "maker", 1000, true);
  EXPECT_TRUE(third.line_with("done")) << third.errors();
  EXPECT_EQ(first.wait(), 128 + SIGKILL);
}

TEST(Processes, ATopicTakesAsManyPublishersAsItIsConfiguredFor) {
  TestCore core("[topics.trade_events]\npublishers = 2\n");
  Process first = core.puppet("trade_events", "one", 0);
  Process second = core.puppet("trade_events", "two", 0);
  ASSERT_TRUE(first.line_with("recorded")) << first.errors();
  ASSERT_TRUE(second.line_with("recorded")) << second.errors();
  Process third = core.puppet("trade_events", "three", 1);
  EXPECT_EQ(third.wait(), 1);
  EXPECT_NE(third.errors().find("exhausted"), std::string::npos) << third.errors();
  first.signal(SIGKILL);
  (void)first.wait();
  EXPECT_TRUE(eventually([&] {
    Process again = core.puppet("trade_events", "three", 1);
    return again.wait() == 0;
  })) << "the ring of the dead is free";
}

TEST(Processes, ASecondCoreOnTheHostIsRefused) {
  TestCore core;
  Process same({testing::program("millraced"), "--config", core.config_file()});
  EXPECT_EQ(same.wait(), 1);
  EXPECT_NE(same.errors().find("another core answers"), std::string::npos) << same.errors();
  TestCore elsewhere("", false);
  Process other({testing::program("millraced"), "--config", elsewhere.config_file()});
  EXPECT_EQ(other.wait(), 1);
  EXPECT_NE(other.errors().find("another iceoryx system"), std::string::npos) << other.errors();
}

TEST(Processes, ACoreKilledWhileItStartsItsGatewayMakesWayForTheNextAtOnce) {
  TestCore core("", false);
  std::ofstream(core.config_file()) << "[core]\nruntime_dir = \"" << core.folder() << "/run\"\nlog_dir = \""
                                    << core.folder() << "/log\"\n";
  for (int death = 0; death < 12; ++death) {
    Process next({testing::program("millraced"), "--config", core.config_file()});
    const std::string id = std::to_string(next.pid());
    ASSERT_TRUE(eventually([&] {
      pid_t gateway = 0;
      return bool(std::ifstream("/proc/" + id + "/task/" + id + "/children") >> gateway) ||
             next.errors().find("another core") != std::string::npos;
    }));
    ASSERT_EQ(next.errors().find("another core"), std::string::npos) << death << ": " << next.errors();
    next.signal(SIGKILL);
    (void)next.wait();
  }
}

TEST(Processes, AClientThatSendsGarbageIsCutOffAndNobodyElse) {
  TestCore core;
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  for (const std::size_t size : {1u, 7u, 64u, 4096u, 200'000u}) {
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", core.socket().c_str());
    ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string junk(size, '\xee');
    (void)!::send(fd, junk.data(), junk.size(), MSG_NOSIGNAL);
    char answer[1024];
    EXPECT_TRUE(eventually([&] { return ::recv(fd, answer, sizeof answer, MSG_DONTWAIT) == 0; })) << "it is cut off";
    ::close(fd);
  }
  auto bus = connect(core);
  const auto report = bus->status();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rejected_messages, 5u);
  ASSERT_TRUE(puppet.line_with("recorded"));
}

TEST(Processes, ARequestTooLargeForTheCoreFailsAtOnceAndTheConnectionStands) {
  TestCore core;
  auto bus = connect(core);
  for (const std::size_t size : {control::request_size_max, control::message_size_max}) {
    const auto publisher = bus->publisher("trade_events", std::string(size, 'n'));
    ASSERT_FALSE(publisher);
    EXPECT_EQ(publisher.error().code, ErrorCode::too_large) << publisher.error().message;
  }
  EXPECT_TRUE(bus->connected());
  const auto report = bus->status();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rejected_messages, 0u);
  const auto named = Bus::connect({.name = std::string(control::message_size_max, 'n'), .socket = core.socket()});
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code, ErrorCode::too_large) << named.error().message;
}

TEST(Processes, AThousandConnectionsAreServed) {
  TestCore core;
  std::vector<control::Connection> connections;
  for (int i = 0; i < 1000; ++i) {
    auto connection = control::Connection::connect(core.socket());
    ASSERT_TRUE(connection) << i << ": " << connection.error().message;
    connections.push_back(std::move(*connection));
  }
  auto bus = connect(core);
  EXPECT_TRUE(bus->status());
}

TEST(Processes, AClientThatNeverReadsIsCutOffAndNobodyElse) {
  TestCore core;
  auto silent = control::Connection::connect(core.socket());
  ASSERT_TRUE(silent);
  control::HelloT hello;
  hello.protocol_version = control::protocol_version;
  hello.client_name = "silent";
  hello.incarnation = std::make_unique<control::Uuid>(control::to_wire(Incarnation{random_uuid_bytes()}));
  (void)silent->send(control::make_message(std::move(hello), 1));
  EXPECT_TRUE(eventually([&] {
    return silent->send(control::make_message(control::GetStatusT{}, 2)) == control::SendStatus::closed;
  })) << "a peer that does not read is thrown out";
  auto bus = connect(core);
  EXPECT_TRUE(bus->status());
}

TEST(Processes, ALogIsKeptAsLongAsItsTopicSays) {
  TestCore core("[topics.trade_events]\nsegment_bytes = \"1 MiB\"\nretention_bytes = 0\nretention_age = \"1s\"\n");
  Process puppet = core.puppet("trade_events", "maker", 20'000);
  ASSERT_TRUE(puppet.line_with("done")) << puppet.errors();
  auto bus = connect(core);
  EXPECT_TRUE(eventually([&] {
    const auto topic = trade_events_status(*bus);
    return topic && topic->first_offset > 10'000;
  })) << "nothing is published any more: only age deletes";
}

TEST(Processes, AFullDiskStopsRecordingAndNothingElse) {
  TestCore core("", false);
  // A log folder on a small file system of its own.
  const std::string small = core.folder() + "/log";
  ASSERT_EQ(::system(("mkdir -p " + small + " && mount -t tmpfs -o size=24m tmpfs " + small).c_str()), 0);
  TestCore* on = &core;
  std::FILE* config = std::fopen(core.config_file().c_str(), "a");
  std::fputs(
      "[topics.trade_events]\nsegment_bytes = \"4 MiB\"\n[topics.orders]\nsegment_bytes = \"1 MiB\"\n"
      "[topics.order_events]\nsegment_bytes = \"1 MiB\"\n[topics.account_events]\nsegment_bytes = \"1 MiB\"\n"
      "[topics.market_l2]\nsegment_bytes = \"1 MiB\"\n[topics.\"system.health\"]\nsegment_bytes = \"1 MiB\"\n"
      "[topics.risk_alerts]\nsegment_bytes = \"1 MiB\"\n",
      config);
  std::fclose(config);
  on->start();
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  auto bus = connect(core);
  EXPECT_TRUE(eventually([&] {
    const auto topic = trade_events_status(*bus);
    return topic && topic->state != control::TopicState::ok;
  })) << "the full disk is seen";
  Process other = core.puppet("orders", "other", 0);  // whatever it says, the core answers
  EXPECT_TRUE(bus->status());
  puppet.signal(SIGKILL);
  (void)puppet.wait();
  core.kill();
  (void)::system(("umount " + small).c_str());
}

}  // namespace
}  // namespace millrace
