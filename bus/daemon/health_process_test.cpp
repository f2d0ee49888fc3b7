// Proves with real processes what system.health says of those who die, hang or read too slowly, how soon, and that a
// core, or a host, that stood still judges nobody by it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "bus/daemon/test/clients.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/segments.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;
using testing::connect;
using testing::eventually;
using testing::Process;
using testing::TestCore;

struct Change {
  HealthSubject subject;
  std::string name;
  HealthState after;
  HealthReason reason;
  std::int64_t number;
  WallTime published;
};

// All that system.health says, from the first.
class Health {
 public:
  explicit Health(Bus& bus, Level level = Level::recorded)
      : subscriber_(*bus.subscribe("system.health", options(level))) {}

  void poll() {
    subscriber_.poll<schemas::HealthEvent>([this](const schemas::HealthEvent& event, const Event& at) {
      changes_.push_back({event.subject(), std::string(schemas::text(event.name())), event.new_state(), event.reason(),
                          event.number(), at.frame.publish_time()});
    });
  }
  // Waits for the first such change behind those that were waited for.
  const Change* wait_for(HealthSubject subject, const std::string& name, HealthState after) {
    const Change* found = nullptr;
    (void)eventually([&] {
      poll();
      for (; found == nullptr && next_ < changes_.size(); ++next_) {
        const Change& change = changes_[next_];
        if (change.subject == subject && change.name == name && change.after == after) found = &change;
      }
      return found != nullptr;
    });
    EXPECT_NE(found, nullptr) << "no such change of " << name << " to " << EnumNameHealthState(after);
    return found;
  }
  [[nodiscard]] const std::vector<Change>& changes() const { return changes_; }

 private:
  static SubscribeOptions options(Level level) {
    SubscribeOptions options{.level = level, .start = StartEarliest{}, .on_gap = {}};
    if (level == Level::live) options.start = StartLatest{};
    return options;
  }

  Subscriber subscriber_;
  std::vector<Change> changes_;
  std::size_t next_ = 0;
};

// A process that polls trade_events at level recorded.
class Reader {
 public:
  Reader(const TestCore& core, const char* name) : pid_(::fork()) {
    if (pid_ != 0) return;
    auto bus = Bus::connect({.name = name, .socket = core.socket()});
    if (!bus) ::_exit(1);
    auto subscriber =
        (*bus)->subscribe("trade_events", {.level = Level::recorded, .start = StartLatest{}, .on_gap = {}});
    if (!subscriber) ::_exit(2);
    BackOffIdle idle;
    for (;;) idle.idle(subscriber->poll([](const Event&) {}));
  }
  ~Reader() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Reader(const Reader&) = delete;
  void signal(int number) const { ::kill(pid_, number); }

 private:
  pid_t pid_;
};

// Lets time go by: what is waited for is that nothing happens in it.
void stand(std::chrono::nanoseconds time) {
  const MonotonicTime end = system_clock().monotonic() + time;
  (void)eventually([&] { return system_clock().monotonic() > end; });
}

TEST(HealthProcess, DeathIsAnEventWithinMilliseconds) {
  TestCore core;
  auto bus = connect(core);
  Health health(*bus, Level::live);
  std::vector<std::int64_t> seen, told;
  for (int i = 0; i < 10; ++i) {
    Process puppet = core.puppet("trade_events", "maker", 0);
    ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
    ASSERT_NE(health.wait_for(HealthSubject::publisher, "maker", HealthState::healthy), nullptr);
    const WallTime killed = system_clock().wall();
    puppet.signal(SIGKILL);
    // At full speed, as whoever waits for this would.
    const Change* dead = nullptr;
    const std::size_t before = health.changes().size();
    for (const MonotonicTime end = system_clock().monotonic() + 60s;
         dead == nullptr && system_clock().monotonic() < end;) {
      health.poll();
      for (std::size_t at = before; at < health.changes().size(); ++at) {
        if (health.changes()[at].after == HealthState::dead) dead = &health.changes()[at];
      }
    }
    ASSERT_NE(dead, nullptr);
    told.push_back((system_clock().wall() - killed).count());
    EXPECT_EQ(dead->reason, HealthReason::process_ended);
    EXPECT_EQ(dead->name, "maker");
    seen.push_back((dead->published - killed).count());
    (void)health.wait_for(HealthSubject::publisher, "maker", HealthState::dead);
  }
  std::sort(seen.begin(), seen.end());
  std::sort(told.begin(), told.end());
  std::printf(
      "kill -9 of a publisher to the core's event: median %.2f ms, worst %.2f ms; to a subscriber: %.2f, %.2f\n",
      static_cast<double>(seen[5]) / 1e6, static_cast<double>(seen.back()) / 1e6, static_cast<double>(told[5]) / 1e6,
      static_cast<double>(told.back()) / 1e6);
  EXPECT_LT(seen[5], 1'000'000'000) << "by the kernel's word, not by a time-out";
}

TEST(HealthProcess, APublisherThatHangsIsSeenWithinTwoTimeoutsAndComesBack) {
  constexpr auto timeout = 400ms;
  TestCore core(TestCore::InCore{"heartbeat_timeout = \"400ms\"\n"});
  auto bus = connect(core);
  Health health(*bus);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  ASSERT_NE(health.wait_for(HealthSubject::publisher, "maker", HealthState::healthy), nullptr);
  puppet.signal(SIGSTOP);
  const Change* change = health.wait_for(HealthSubject::publisher, "maker", HealthState::degraded);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, HealthReason::no_progress);
  EXPECT_GT(change->number, std::chrono::nanoseconds(timeout).count());
  EXPECT_LT(change->number, std::chrono::nanoseconds(2 * timeout).count());
  ASSERT_NE(health.wait_for(HealthSubject::publisher, "maker", HealthState::failed), nullptr);
  const auto report = bus->status();
  ASSERT_TRUE(report);
  EXPECT_THAT(report->reasons,
              ::testing::Contains(::testing::StartsWith("publisher maker of trade_events: no progress")));
  puppet.signal(SIGCONT);
  change = health.wait_for(HealthSubject::publisher, "maker", HealthState::healthy);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, HealthReason::recovered);
  EXPECT_GT(change->number, 0);
}

TEST(HealthProcess, ASubscriberIsLiveThenStalledThenLiveThenDead) {
  TestCore core(TestCore::InCore{"heartbeat_timeout = \"400ms\"\nlag_limit = 1000000000\n"});
  auto bus = connect(core);
  Health health(*bus);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  {
    const Reader reader(core, "desk");
    ASSERT_NE(health.wait_for(HealthSubject::consumer, "desk", HealthState::live), nullptr);
    reader.signal(SIGSTOP);
    const Change* change = health.wait_for(HealthSubject::consumer, "desk", HealthState::stalled);
    ASSERT_NE(change, nullptr);
    EXPECT_EQ(change->reason, HealthReason::no_progress);
    const auto report = bus->status();
    ASSERT_TRUE(report);
    EXPECT_THAT(report->reasons, ::testing::Contains(::testing::StartsWith("subscriber desk of trade_events: ")));
    puppet.signal(SIGSTOP);  // that it need not catch up with
    reader.signal(SIGCONT);
    change = health.wait_for(HealthSubject::consumer, "desk", HealthState::live);
    ASSERT_NE(change, nullptr);
    EXPECT_EQ(change->reason, HealthReason::recovered);
  }
  ASSERT_NE(health.wait_for(HealthSubject::consumer, "desk", HealthState::dead), nullptr);
}

TEST(HealthProcess, ACoreOrAHostThatStoodStillJudgesNobodyByIt) {
  const auto rest = std::getenv("MILLRACE_SOAK") != nullptr ? 10s : 3s;
  TestCore core(TestCore::InCore{"heartbeat_timeout = \"1s\"\nlag_limit = 0\n"});
  auto bus = connect(core);
  Health health(*bus);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  const Reader reader(core, "desk");
  ASSERT_NE(health.wait_for(HealthSubject::consumer, "desk", HealthState::live), nullptr);
  for (const bool host : {false, true}) {
    core.process().signal(SIGSTOP);
    if (host) {
      puppet.signal(SIGSTOP);
      reader.signal(SIGSTOP);
    }
    stand(rest);
    core.process().signal(SIGCONT);
    // Two answers: it has looked at everybody by then, and those who are stopped still have done nothing.
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(bus->status());
    puppet.signal(SIGCONT);
    reader.signal(SIGCONT);
    const Change* change = nullptr;
    ASSERT_NE(change = health.wait_for(HealthSubject::core, "millraced", HealthState::healthy), nullptr);
    if (change->reason == HealthReason::started) {
      ASSERT_NE(change = health.wait_for(HealthSubject::core, "millraced", HealthState::healthy), nullptr);
    }
    EXPECT_EQ(change->reason, HealthReason::loop_stalled);
    EXPECT_GE(change->number, std::chrono::nanoseconds(rest).count() * 9 / 10);
    ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
    stand(2500ms);  // longer than it takes to be called failed, or stalled
    health.poll();
  }
  for (const Change& change : health.changes()) {
    if (change.subject == HealthSubject::topic) continue;  // the disk's own matter
    EXPECT_THAT((std::array{HealthState::healthy, HealthState::live, HealthState::catching_up}),
                ::testing::Contains(change.after))
        << change.name << " is " << EnumNameHealthState(change.after);
  }
  const auto report = bus->status();
  ASSERT_TRUE(report);
  EXPECT_THAT(report->reasons, ::testing::IsEmpty());
}

TEST(HealthProcess, ADurableConsumerIsWarnedBeforeTheLogIsDeletedUnderIt) {
  TestCore core("[topics.trade_events]\nsegment_bytes = \"1 MiB\"\nretention_bytes = \"4 MiB\"\n");
  auto bus = connect(core);
  Health health(*bus);
  const auto publish = [&](std::uint64_t count) {
    Process puppet = core.puppet("trade_events", "maker", count);
    ASSERT_TRUE(puppet.line_with("done")) << puppet.errors();
  };
  publish(10);
  {
    auto subscriber = bus->subscribe(
        "trade_events", {.level = Level::synced, .start = StartEarliest{}, .on_gap = {}, .consumer = "risk"});
    ASSERT_TRUE(subscriber) << subscriber.error().message;
  }
  const auto segments = [&] {
    return wal::list_segment_files(wal::posix_file_system(), core.log_folder("trade_events"))->size();
  };
  while (segments() < 4) publish(1'000);
  publish(1'500);  // some 300 kB: more than 80 % of what may be kept, and no fifth segment
  const Change* change = health.wait_for(HealthSubject::consumer, "risk", HealthState::lagging);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, HealthReason::overrun_near);
  EXPECT_EQ(change->number, 0) << "the offset that it wants";
  EXPECT_EQ(segments(), 4u) << "nothing is deleted yet";
  publish(8'000);
  change = health.wait_for(HealthSubject::consumer, "risk", HealthState::lagging);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, HealthReason::overrun);
  EXPECT_GT(change->number, 0) << "the first that is still there";
  ASSERT_TRUE(bus->reset_consumer("trade_events", "risk", StartLatest{}));
  change = health.wait_for(HealthSubject::consumer, "risk", HealthState::live);
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->reason, HealthReason::caught_up);
}

TEST(HealthProcess, ADurableConsumerThatIsOverrunIsToldFromWhereToWhere) {
  // A ring of 64 pages, so that a reader that rests does not find in memory what is deleted.
  TestCore core(
      "[topics.trade_events]\nring_bytes = \"1 MiB\"\npage_bytes = \"16 KiB\"\nreaders = 8\n"
      "segment_bytes = \"1 MiB\"\nretention_bytes = \"4 MiB\"\n");
  auto bus = connect(core);
  Health health(*bus);
  const auto publish = [&](std::uint64_t count) {
    Process puppet = core.puppet("trade_events", "maker", count);
    ASSERT_TRUE(puppet.line_with("done")) << puppet.errors();
  };
  const auto subscribe = [&](const char* consumer) {
    return bus->subscribe("trade_events",
                          {.level = Level::synced, .start = StartEarliest{}, .on_gap = {}, .consumer = consumer});
  };
  publish(10);
  ASSERT_TRUE(subscribe("risk"));  // and it is away again
  auto rests = subscribe("desk");
  ASSERT_TRUE(rests) << rests.error().message;
  std::uint64_t seen = 0;
  ASSERT_TRUE(eventually([&] { return (seen += rests->poll([](const Event&) {})) == 10; }));
  const auto reason_of = [&](HealthReason wanted) {
    const Change* change = nullptr;
    do {
      change = health.wait_for(HealthSubject::consumer, "risk", HealthState::lagging);
    } while (change != nullptr && change->reason != wanted);
    return change;
  };
  const auto segments = [&] {
    return wal::list_segment_files(wal::posix_file_system(), core.log_folder("trade_events")).value();
  };
  const auto first = [&] { return segments().front().first_offset; };
  while (segments().size() < 4) publish(1'000);
  publish(1'500);  // some 300 kB: more than 80 % of what may be kept, and no fifth segment
  ASSERT_NE(reason_of(HealthReason::overrun_near), nullptr);
  while (first() == Offset(0)) publish(1'000);
  const Change* overrun = reason_of(HealthReason::overrun);
  ASSERT_NE(overrun, nullptr);
  EXPECT_GT(overrun->number, 0);
  publish(10'000);  // and the pages of the first ones are used again
  const auto expect_told = [&](const Error& error, Offset from) {
    EXPECT_EQ(error.code, ErrorCode::overrun) << error.message;
    ASSERT_TRUE(error.deleted);
    EXPECT_EQ(error.deleted->from, from);
    EXPECT_GT(error.deleted->to, from);
    EXPECT_LT(error.deleted->to, first()) << "nothing that is still there";
    EXPECT_THAT(error.message, ::testing::HasSubstr("from offset " + std::to_string(from.value()) + " to " +
                                                    std::to_string(error.deleted->to.value())));
    EXPECT_THAT(error.message, ::testing::HasSubstr("millrace consumers reset"));
  };
  const auto back = subscribe("risk");
  ASSERT_FALSE(back);
  expect_told(back.error(), Offset(0));
  ASSERT_TRUE(eventually([&] {
    (void)rests->poll([](const Event&) {});
    return rests->error().has_value();
  }));
  expect_told(*rests->error(), Offset(10));
  // What to do helps. Retention may just now go on.
  Offset begin;
  ASSERT_TRUE(eventually([&] {
    if (!bus->reset_consumer("trade_events", "risk", StartEarliest{})) return false;
    auto again = subscribe("risk");
    if (again) begin = again->follower()->position().offset;
    return again.has_value();
  }));
  EXPECT_EQ(begin, first());
}

}  // namespace
}  // namespace millrace
