// Proves durable consumers, acknowledgements and the reopening of topics between real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <optional>

#include "bus/bus.hpp"
#include "bus/daemon/test/processes.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using ::testing::HasSubstr;
using testing::Process;
using testing::program;
using testing::TestCore;

std::unique_ptr<Bus> connect(const TestCore& core, const std::string& name = "test") {
  auto bus = Bus::connect({.name = name, .socket = core.socket()});
  EXPECT_TRUE(bus) << bus.error().message;
  return std::move(*bus);
}

void publish(Publisher& publisher, int count) {
  for (int i = 0; i < count;) {
    const std::uint64_t number = publisher.next_sequence().value();
    const auto published =
        publisher.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) { trade.mutate_buy_order_id(number); });
    ASSERT_NE(published.status, PublishStatus::closed);
    i += published ? 1 : 0;
  }
}

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

std::string run(const TestCore& core, const std::string& words, int expected = 0) {
  Process process(
      {"/bin/bash", "-c", "MILLRACE_SOCKET=" + core.socket() + " exec " + program("millrace") + " " + words});
  std::string text;
  while (const auto line = process.line()) text += *line + "\n";
  EXPECT_EQ(process.wait(), expected) << words << ": " << process.errors();
  return text + process.errors();
}

TEST(DurableConsumers, GoOnFromTheirCheckpointInAnotherProcessAndAfterTheCoresDeath) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker").value();
  publish(publisher, 100);
  {
    const auto consumer = connect(core, "first");
    auto first = consumer->subscribe("trade_events", risk()).value();
    EXPECT_EQ(read_to(first, 60), Offset(0));
    EXPECT_FALSE(first.ack(Offset(61))) << "not read yet";
    ASSERT_TRUE(acknowledged(first, 40));
    const auto refused = bus->subscribe("trade_events", risk());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::in_use);
  }
  {
    auto second = bus->subscribe("trade_events", risk(StartLatest{})).value();
    EXPECT_EQ(read_to(second, 80), Offset(40)) << "its checkpoint counts, not where it would start";
    ASSERT_TRUE(acknowledged(second, 70));
    core.kill();
    core.start();
    publish(publisher, 20);
    EXPECT_EQ(read_to(second, 120), Offset(80)) << "the same process goes on where it was";
    ASSERT_TRUE(acknowledged(second, 110));
  }
  core.kill();
  core.start();
  ASSERT_TRUE(eventually([&] { return bus->connected(); }));
  auto third = bus->subscribe("trade_events", risk()).value();
  EXPECT_EQ(read_to(third, 120), Offset(110));
}

TEST(DurableConsumers, ATakenOverConsumerIsFencedOff) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker").value();
  publish(publisher, 50);
  const auto slow_bus = connect(core, "slow");
  auto slow = slow_bus->subscribe("trade_events", risk()).value();
  (void)read_to(slow, 50);
  ASSERT_TRUE(acknowledged(slow, 10));
  auto next = bus->subscribe("trade_events", risk(StartEarliest{}, true)).value();
  EXPECT_EQ(slow.ack(Offset(50)).error().code, ErrorCode::fenced);
  EXPECT_EQ(read_to(next, 50), Offset(10));
  ASSERT_TRUE(acknowledged(next, 50));
}

TEST(DurableConsumers, AreListedResetAndDeletedFromTheCommandLine) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker").value();
  publish(publisher, 30);
  {
    auto consumer = bus->subscribe("trade_events", risk()).value();
    (void)read_to(consumer, 30);
    ASSERT_TRUE(acknowledged(consumer, 25));
    EXPECT_THAT(run(core, "consumers list trade_events --json"), HasSubstr(R"("name":"risk","acked":25,"lag":5)"));
    EXPECT_THAT(run(core, "consumers delete trade_events risk", 1), HasSubstr("is held by process"));
    run(core, "consumers reset trade_events risk --to 3");
    EXPECT_EQ(consumer.ack(Offset(30)).error().code, ErrorCode::fenced);
  }
  {
    auto consumer = bus->subscribe("trade_events", risk()).value();
    EXPECT_EQ(read_to(consumer, 30), Offset(3));
  }
  run(core, "consumers reset trade_events risk --to earliest");
  EXPECT_THAT(run(core, "consumers list"), HasSubstr("risk"));
  EXPECT_THAT(run(core, "consumers reset trade_events risk --to 31", 2), HasSubstr("offset 31 is not there yet"));
  EXPECT_THAT(run(core, "consumers reset trade_events other", 2), HasSubstr("no durable consumer 'other'"));
  ASSERT_TRUE(eventually([&] { return bus->delete_consumer("trade_events", "risk").has_value(); }))
      << "once the core knows that nobody has it";
  EXPECT_THAT(run(core, "consumers list --json"), HasSubstr("[]"));
  EXPECT_THAT(run(core, "reopen nothing", 2), HasSubstr("no topic 'nothing'"));
  run(core, "reopen trade_events");
}

TEST(Acknowledgements, ComeForEveryLevelAndSayDisconnectedWhileTheCoreIsAway) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker").value();
  for (std::uint64_t i = 1; i <= 50; ++i) {
    publish(publisher, 1);
    const Acknowledgement ack = publisher.await(Sequence(i), i % 2 == 0 ? Ack::synced() : Ack::recorded(), {60s, 1});
    ASSERT_EQ(ack.status, AckStatus::acknowledged);
  }
  auto consumer = bus->subscribe("trade_events", risk()).value();
  EXPECT_EQ(publisher.await(Sequence(50), Ack::consumed("nobody")).status, AckStatus::no_consumer);
  EXPECT_EQ(publisher.await(Sequence(50), Ack::consumed("risk"), {1ms, 2}).status, AckStatus::timed_out);
  (void)read_to(consumer, 50);
  ASSERT_TRUE(consumer.ack(Offset(50)));
  EXPECT_EQ(publisher.await(Sequence(50), Ack::consumed("risk"), {60s, 1}).status, AckStatus::acknowledged);

  ASSERT_TRUE(testing::stop_and_wait(core.process().pid()));
  publish(publisher, 10);  // into pages that are granted
  EXPECT_EQ(publisher.await(Sequence(60), Ack::recorded(), {1ms, 3}).status, AckStatus::timed_out);
  core.kill();
  ASSERT_TRUE(eventually([&] { return !bus->connected(); }));
  const Acknowledgement away = publisher.await(Sequence(60), Ack::synced(), {60s, 1});
  EXPECT_EQ(away.status, AckStatus::disconnected);
  core.start();
  ASSERT_TRUE(eventually([&] {
    return publisher.await(Sequence(60), Ack::synced(), {60s, 1}).status == AckStatus::acknowledged;
  }));
  const auto outcome = bus->outcome("trade_events", away.position);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->fate, Fate::synced);
  EXPECT_EQ(outcome->offset, Offset(59)) << "once, in order";
}

// A limit on the size of files makes a real write of the core fail, and its rise lets it succeed again.
TEST(Reopening, ATopicWhoseWritesFailAcknowledgesNothingAndComesBackOnCommandWithEveryEvent) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker").value();
  auto recorded = bus->subscribe("trade_events", {.level = Level::recorded, .start = StartEarliest{}}).value();
  publish(publisher, 100);
  ASSERT_EQ(publisher.await(Sequence(100), Ack::synced(), {60s, 1}).status, AckStatus::acknowledged);
  rlimit before{}, small{4096, RLIM_INFINITY};
  ASSERT_EQ(::prlimit(core.process().pid(), RLIMIT_FSIZE, &small, &before), 0);
  publish(publisher, 50);
  const Acknowledgement failed = publisher.await(Sequence(150), Ack::synced(), {60s, 1});
  EXPECT_EQ(failed.status, AckStatus::failed);
  EXPECT_EQ(bus->outcome("trade_events", failed.position)->fate, Fate::pending) << "not known yet";
  ASSERT_TRUE(eventually([&] {
    const auto report = bus->status();
    return report && !report->reasons.empty() && report->topics[0]->state == control::TopicState::failed;
  })) << "health says so";
  EXPECT_THAT(run(core, "reopen trade_events", 1), HasSubstr("File too large"));
  ASSERT_EQ(::prlimit(core.process().pid(), RLIMIT_FSIZE, &before, nullptr), 0);
  run(core, "reopen trade_events");
  EXPECT_EQ(publisher.await(Sequence(150), Ack::synced(), {60s, 1}).status, AckStatus::acknowledged);
  EXPECT_EQ(bus->outcome("trade_events", failed.position)->offset, Offset(149));
  EXPECT_EQ(read_to(recorded, 150), Offset(0));
  ASSERT_TRUE(eventually([&] { return bus->status()->topics[0]->state == control::TopicState::ok; }));
  publish(publisher, 10);
  EXPECT_EQ(publisher.await(Sequence(160), Ack::synced(), {60s, 1}).status, AckStatus::acknowledged);
}

}  // namespace
}  // namespace millrace
