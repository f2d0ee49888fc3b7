// Proves durable consumers, acknowledgements and the reopening of topics between real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <optional>

#include "bus/bus.hpp"
#include "bus/daemon/test/clients.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using testing::connect;
using testing::eventually;
using ::testing::HasSubstr;
using testing::Process;
using testing::program;
using testing::TestCore;

SubscribeOptions risk(Start start = StartEarliest{}, bool take_over = false) {
  return {.level = Level::synced, .start = start, .on_gap = {}, .consumer = "risk", .take_over = take_over};
}

// Reads up to `end`, exclusive; where it began.
std::optional<Offset> read_to(Subscriber& subscriber, std::uint64_t end) {
  std::optional<Offset> first;
  EXPECT_TRUE(eventually([&] {
    subscriber.poll([&](const Event& event) { first = first ? first : event.offset; },
                    end - subscriber.follower()->position().offset.value());
    return subscriber.follower()->position().offset.value() >= end;
  }));
  return first;
}

bool acknowledged(Subscriber& subscriber, std::uint64_t end) {
  EXPECT_TRUE(subscriber.ack(Offset(end)));
  return eventually([&] { return subscriber.follower()->checkpoint() == Offset(end); });
}

// A core, and a publisher on it.
class Durability : public ::testing::Test {
 protected:
  void publish(int count) {
    for (int i = 0; i < count;) {
      const Published published = testing::publish_numbered(publisher_);
      ASSERT_NE(published.status, PublishStatus::closed);
      i += published ? 1 : 0;
    }
  }
  // What the command line prints.
  std::string run(const std::string& words, int expected = 0) {
    Process process(
        {"/bin/bash", "-c", "MILLRACE_SOCKET=" + core_.socket() + " exec " + program("millrace") + " " + words});
    std::string text;
    while (const auto line = process.line()) text += *line + "\n";
    EXPECT_EQ(process.wait(), expected) << words << ": " << process.errors();
    return text + process.errors();
  }

  TestCore core_;
  const std::unique_ptr<Bus> bus_ = connect(core_);
  Publisher publisher_ = bus_->publisher("trade_events", "maker").value();
};
using DurableConsumers = Durability;
using Acknowledgements = Durability;
using Reopening = Durability;

TEST_F(DurableConsumers, GoOnFromTheirCheckpointInAnotherProcessAndAfterTheCoresDeath) {
  publish(100);
  {
    const auto consumer = connect(core_, {.name = "first"});
    auto first = consumer->subscribe("trade_events", risk()).value();
    EXPECT_EQ(read_to(first, 60), Offset(0));
    EXPECT_FALSE(first.ack(Offset(61))) << "not read yet";
    ASSERT_TRUE(acknowledged(first, 40));
    const auto refused = bus_->subscribe("trade_events", risk());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::in_use);
  }
  {
    std::optional<Subscriber> free;
    ASSERT_TRUE(eventually([&] {
      if (auto subscriber = bus_->subscribe("trade_events", risk(StartLatest{}))) free.emplace(std::move(*subscriber));
      return free.has_value();
    })) << "once the core knows that nobody has it";
    Subscriber second = std::move(*free);
    EXPECT_EQ(read_to(second, 80), Offset(40)) << "its checkpoint counts, not where it would start";
    ASSERT_TRUE(acknowledged(second, 70));
    core_.kill();
    core_.start();
    publish(20);
    EXPECT_EQ(read_to(second, 120), Offset(80)) << "the same process goes on where it was";
    ASSERT_TRUE(acknowledged(second, 110));
  }
  core_.kill();
  core_.start();
  ASSERT_TRUE(eventually([&] { return bus_->connected(); }));
  auto third = bus_->subscribe("trade_events", risk()).value();
  EXPECT_EQ(read_to(third, 120), Offset(110));
}

TEST_F(DurableConsumers, ATakenOverConsumerIsFencedOff) {
  publish(50);
  const auto slow_bus = connect(core_, {.name = "slow"});
  auto slow = slow_bus->subscribe("trade_events", risk()).value();
  (void)read_to(slow, 50);
  ASSERT_TRUE(acknowledged(slow, 10));
  auto next = bus_->subscribe("trade_events", risk(StartEarliest{}, true)).value();
  EXPECT_EQ(slow.ack(Offset(50)).error().code, ErrorCode::fenced);
  EXPECT_EQ(read_to(next, 50), Offset(10));
  ASSERT_TRUE(acknowledged(next, 50));
}

TEST_F(DurableConsumers, AreListedResetAndDeletedFromTheCommandLine) {
  publish(30);
  {
    auto consumer = bus_->subscribe("trade_events", risk()).value();
    (void)read_to(consumer, 30);
    ASSERT_TRUE(acknowledged(consumer, 25));
    EXPECT_THAT(run("consumers list trade_events --json"), HasSubstr(R"("name":"risk","acked":25,"lag":5)"));
    EXPECT_THAT(run("consumers delete trade_events risk", 1), HasSubstr("is held by process"));
    run("consumers reset trade_events risk --to 3");
    EXPECT_EQ(consumer.ack(Offset(30)).error().code, ErrorCode::fenced);
  }
  {
    auto consumer = bus_->subscribe("trade_events", risk()).value();
    EXPECT_EQ(read_to(consumer, 30), Offset(3));
  }
  run("consumers reset trade_events risk --to earliest");
  EXPECT_THAT(run("consumers list"), HasSubstr("risk"));
  EXPECT_THAT(run("consumers reset trade_events risk --to 31", 2), HasSubstr("offset 31 is not there yet"));
  EXPECT_THAT(run("consumers reset trade_events other", 2), HasSubstr("no durable consumer 'other'"));
  ASSERT_TRUE(eventually([&] { return bus_->delete_consumer("trade_events", "risk").has_value(); }))
      << "once the core knows that nobody has it";
  EXPECT_THAT(run("consumers list --json"), HasSubstr("[]"));
  EXPECT_THAT(run("reopen nothing", 2), HasSubstr("no topic 'nothing'"));
  run("reopen trade_events");
}

TEST_F(Acknowledgements, ComeForEveryLevelAndSayDisconnectedWhileTheCoreIsAway) {
  for (std::uint64_t i = 1; i <= 50; ++i) {
    publish(1);
    const Acknowledgement ack = publisher_.await(Sequence(i), i % 2 == 0 ? Ack::synced() : Ack::recorded(), {60s, 1});
    ASSERT_EQ(ack.status, AckStatus::acknowledged);
  }
  auto consumer = bus_->subscribe("trade_events", risk()).value();
  EXPECT_EQ(publisher_.await(Sequence(50), Ack::consumed("nobody")).status, AckStatus::no_consumer);
  EXPECT_EQ(publisher_.await(Sequence(50), Ack::consumed("risk"), {1ms, 2}).status, AckStatus::timed_out);
  (void)read_to(consumer, 50);
  ASSERT_TRUE(consumer.ack(Offset(50)));
  EXPECT_EQ(publisher_.await(Sequence(50), Ack::consumed("risk"), {60s, 1}).status, AckStatus::acknowledged);

  ASSERT_TRUE(testing::stop_and_wait(core_.process().pid()));
  publish(10);  // into pages that are granted
  EXPECT_EQ(publisher_.await(Sequence(60), Ack::recorded(), {1ms, 3}).status, AckStatus::timed_out);
  core_.kill();
  ASSERT_TRUE(eventually([&] { return !bus_->connected(); }));
  const Acknowledgement away = publisher_.await(Sequence(60), Ack::synced(), {60s, 1});
  EXPECT_EQ(away.status, AckStatus::disconnected);
  core_.start();
  ASSERT_TRUE(eventually([&] {
    return publisher_.await(Sequence(60), Ack::synced(), {60s, 1}).status == AckStatus::acknowledged;
  }));
  const auto outcome = bus_->outcome("trade_events", away.position);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->fate, Fate::synced);
  EXPECT_EQ(outcome->offset, Offset(59)) << "once, in order";
}

// A limit on the size of files makes a real write of the core fail, and its rise lets it succeed again.
TEST_F(Reopening, ATopicWhoseWritesFailAcknowledgesNothingAndComesBackOnCommandWithEveryEvent) {
  auto recorded = bus_->subscribe("trade_events", {.level = Level::recorded, .start = StartEarliest{}}).value();
  publish(100);
  ASSERT_EQ(publisher_.await(Sequence(100), Ack::synced(), {60s, 1}).status, AckStatus::acknowledged);
  rlimit before{}, small{4096, RLIM_INFINITY};
  ASSERT_EQ(::prlimit(core_.process().pid(), RLIMIT_FSIZE, &small, &before), 0);
  publish(50);
  const Acknowledgement failed = publisher_.await(Sequence(150), Ack::synced(), {60s, 1});
  EXPECT_EQ(failed.status, AckStatus::failed);
  EXPECT_EQ(bus_->outcome("trade_events", failed.position)->fate, Fate::pending) << "not known yet";
  ASSERT_TRUE(eventually([&] {
    const auto report = bus_->status();
    return report && !report->reasons.empty() && report->topics[0]->state == control::TopicState::failed;
  })) << "health says so";
  EXPECT_THAT(run("reopen trade_events", 1), HasSubstr("File too large"));
  ASSERT_EQ(::prlimit(core_.process().pid(), RLIMIT_FSIZE, &before, nullptr), 0);
  run("reopen trade_events");
  EXPECT_EQ(publisher_.await(Sequence(150), Ack::synced(), {60s, 1}).status, AckStatus::acknowledged);
  EXPECT_EQ(bus_->outcome("trade_events", failed.position)->offset, Offset(149));
  EXPECT_EQ(read_to(recorded, 150), Offset(0));
  ASSERT_TRUE(eventually([&] { return bus_->status()->topics[0]->state == control::TopicState::ok; }));
  publish(10);
  EXPECT_EQ(publisher_.await(Sequence(160), Ack::synced(), {60s, 1}).status, AckStatus::acknowledged);
}

}  // namespace
}  // namespace millrace
