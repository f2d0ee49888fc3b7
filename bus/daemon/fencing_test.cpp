// Proves, with real processes, that only death fences: however long a publisher stands still its name is its own, who
// takes it over gets it from a dead process, and one that wakes up late harms nobody.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <optional>
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
using testing::TestCore;
using testing::trade_events_status;

struct Ready {
  unsigned long epoch = 0;
  unsigned long next = 0;
};

Ready ready(Process& puppet) {
  Ready told;
  const auto line = puppet.line_with("ready");
  EXPECT_TRUE(line) << puppet.errors();
  EXPECT_EQ(std::sscanf(line.value_or("").c_str(), "ready %lu %lu", &told.epoch, &told.next), 2);
  return told;
}

std::uint64_t recorded(Process& puppet) {
  const auto line = puppet.line_with("recorded");
  EXPECT_TRUE(line) << puppet.errors();
  return line ? std::stoull(line->substr(line->rfind(' ') + 1)) : 0;
}

control::PublisherState state_of_publisher(Bus& bus) {
  const auto topic = trade_events_status(bus);
  return topic && !topic->publishers.empty() ? topic->publishers.front()->state : control::PublisherState::disconnected;
}

void expect_in_use(const TestCore& core, pid_t owner) {
  Process other = core.puppet("trade_events", "maker", 1);
  EXPECT_EQ(other.wait(), 1);
  EXPECT_NE(other.errors().find("in_use"), std::string::npos) << other.errors();
  EXPECT_NE(other.errors().find(std::to_string(owner)), std::string::npos) << "it names who has it";
}

TEST(Fencing, AStoppedPublisherThatIsHeldForFailedKeepsItsNameAndGoesOnWhenItWakes) {
  TestCore core("", false);
  std::FILE* const config = std::fopen(core.config_file().c_str(), "w");
  std::fprintf(config,
               "[core]\nruntime_dir = \"%s/run\"\nlog_dir = \"%s/log\"\nheartbeat_interval = \"50ms\"\n"
               "heartbeat_timeout = \"150ms\"\n[gateway]\nenabled = false\n",
               core.folder().c_str(), core.folder().c_str());
  std::fclose(config);
  core.start();
  const auto bus = connect(core);
  Follow follow(*bus);
  Process first = core.puppet("trade_events", "maker", 0);
  (void)ready(first);
  (void)recorded(first);
  first.signal(SIGSTOP);
  ASSERT_TRUE(eventually([&] { return state_of_publisher(*bus) == control::PublisherState::failed; }));
  expect_in_use(core, first.pid());
  first.signal(SIGCONT);
  ASSERT_TRUE(eventually([&] { return state_of_publisher(*bus) == control::PublisherState::healthy; }));
  (void)recorded(first);
  ASSERT_TRUE(follow.until(recorded(first)));
  EXPECT_EQ(follow.epoch(), Epoch(1)) << "nothing was taken from it";
}

TEST(Fencing, ANameTakenOverFromAStoppedProcessIsADeadOnesAndToWakeItHarmsNobody) {
  TestCore core;
  const auto bus = connect(core);
  Follow follow(*bus);
  Process first = core.puppet("trade_events", "maker", 0);
  (void)ready(first);
  const std::uint64_t before = recorded(first);
  first.signal(SIGSTOP);
  expect_in_use(core, first.pid());
  Process heir = core.puppet("trade_events", "maker", 0, true);
  const Ready told = ready(heir);
  EXPECT_EQ(told.epoch, 2u);
  EXPECT_GT(told.next, before) << "all that the dead one committed comes first";
  first.signal(SIGCONT);
  EXPECT_EQ(first.wait(), 128 + SIGKILL) << "there is nobody to wake";
  std::uint64_t now = told.next;
  while (now < told.next + 50'000 && !HasFailure()) now = recorded(heir);
  ASSERT_TRUE(follow.until(now));
  EXPECT_EQ(follow.epoch(), Epoch(2));
}

TEST(Fencing, ANameTakenOverInFullFlightAgainAndAgainHasOneWriterAtATime) {
  TestCore core;
  const auto bus = connect(core);
  Follow follow(*bus);
  std::optional<Process> holder(core.puppet("trade_events", "maker", 0));
  (void)ready(*holder);
  for (unsigned long epoch = 2; epoch <= 10; ++epoch) {
    const std::uint64_t before = recorded(*holder);
    Process heir = core.puppet("trade_events", "maker", 0, true);
    const Ready told = ready(heir);
    EXPECT_EQ(told.epoch, epoch);
    EXPECT_GT(told.next, before);
    EXPECT_EQ(holder->wait(), 128 + SIGKILL);
    holder.emplace(std::move(heir));
  }
  ASSERT_TRUE(follow.until(recorded(*holder)));
  EXPECT_EQ(follow.epoch(), Epoch(10));
}

TEST(Fencing, APublisherThatSleptThroughTheCoresDeathAndItsHeirsArrivalHarmsNobodyWhenItWakes) {
  TestCore core;
  Process first = core.puppet("trade_events", "maker", 0);
  (void)ready(first);
  const std::uint64_t before = recorded(first);
  first.signal(SIGSTOP);
  core.kill();
  core.start();  // which knows nobody of that name
  Process heir = core.puppet("trade_events", "maker", 0);
  const Ready told = ready(heir);
  EXPECT_EQ(told.epoch, 2u);
  EXPECT_GT(told.next, before) << "what the sleeper committed was saved first";
  (void)recorded(heir);
  first.signal(SIGCONT);  // it still has the dead core's ring, and writes there until it is told
  EXPECT_EQ(first.wait(), 1);
  EXPECT_NE(first.errors().find("in_use"), std::string::npos) << first.errors();
  std::uint64_t now = told.next;
  while (now < told.next + 50'000 && !HasFailure()) now = recorded(heir);
  const auto bus = connect(core);
  Follow follow(*bus);
  ASSERT_TRUE(follow.until(now));
  EXPECT_EQ(follow.epoch(), Epoch(2));
}

// A client that says what the test wants it to, and no more.
class RawClient {
 public:
  explicit RawClient(const TestCore& core) : connection_(std::move(*control::Connection::connect(core.socket()))) {
    control::HelloT hello;
    hello.protocol_version = control::protocol_version;
    hello.client_name = "raw";
    hello.incarnation = std::make_unique<control::Uuid>(control::to_wire(Incarnation{random_uuid_bytes()}));
    EXPECT_EQ(connection_.send(control::make_message(std::move(hello), 1)), control::SendStatus::ok);
    EXPECT_EQ(answer().body.type, control::Body::Welcome);
  }

  void ask(bool take_over = false) {
    control::AttachPublisherT request;
    request.topic = "trade_events";
    request.publisher_name = "maker";
    request.take_over = take_over;
    EXPECT_EQ(connection_.send(control::make_message(std::move(request), 2)), control::SendStatus::ok);
  }
  void give_back() {
    control::DetachPublisherT detach;
    detach.topic = "trade_events";
    detach.publisher_name = "maker";
    EXPECT_EQ(connection_.send(control::make_message(std::move(detach), 0)), control::SendStatus::ok);
  }
  [[nodiscard]] control::MessageT answer() {
    control::MessageT message;
    EXPECT_TRUE(eventually([&] {
      auto received = connection_.receive();
      if (!received || !received->packet) return false;
      message = std::move(*control::decode(received->packet->bytes));
      return true;
    })) << "no answer";
    return message;
  }

 private:
  control::Connection connection_;
};

TEST(Fencing, ANameGivenBackBeforeItWasGivenIsFree) {
  TestCore core;
  auto bus = connect(core);
  for (int round = 0; round < 10; ++round) {
    RawClient client(core);                                     // lives on: its end would free the name anyhow
    ASSERT_TRUE(testing::stop_and_wait(core.process().pid()));  // it sees all that is asked at once
    client.ask();
    client.give_back();
    core.process().signal(SIGCONT);
    ASSERT_TRUE(eventually([&] { return bus->publisher("trade_events", "maker").has_value(); })) << round;
    ASSERT_TRUE(eventually([&] {
      const auto topic = trade_events_status(*bus);
      return topic && !topic->publishers.empty() && topic->publishers.front()->state == control::PublisherState::closed;
    }));
    ASSERT_TRUE(testing::stop_and_wait(core.process().pid()));
    client.ask();
    client.give_back();
    client.ask();
    core.process().signal(SIGCONT);
    while (client.answer().body.type != control::Body::PublisherAttached) {
      ASSERT_FALSE(HasFailure());
    }
    expect_in_use(core, ::getpid());
    client.give_back();
    ASSERT_TRUE(eventually([&] { return bus->publisher("trade_events", "maker").has_value(); })) << round;
  }
}

TEST(Fencing, OfTwoWhoTakeOverAtOnceOneGetsTheNameAndTheOtherIsToldWhoHasIt) {
  TestCore core;
  Process first = core.puppet("trade_events", "maker", 0);
  (void)ready(first);
  RawClient one(core), two(core);
  first.signal(SIGSTOP);
  core.process().signal(SIGSTOP);  // both requests are there before it looks at either
  one.ask(true);
  two.ask(true);
  core.process().signal(SIGCONT);
  const control::MessageT to_one = one.answer(), to_two = two.answer();
  EXPECT_EQ(first.wait(), 128 + SIGKILL);
  const auto attached = [](const control::MessageT& message) {
    return message.body.type == control::Body::PublisherAttached;
  };
  ASSERT_NE(attached(to_one), attached(to_two));
  const auto* const refused = (attached(to_one) ? to_two : to_one).body.AsErrorAnswer();
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(control::to_error(*refused).code, ErrorCode::in_use);
}

}  // namespace
}  // namespace millrace
