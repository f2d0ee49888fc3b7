// Proves with real processes that a reader of a log's folder sees every event while the folder is being written, and
// disturbs nobody, and that a replay goes on into live over the death of the core.
#include <gtest/gtest.h>

#include <chrono>

#include "bus/base/idle.hpp"
#include "bus/daemon/test/clients.hpp"
#include "subscribers/historical/replay.hpp"

namespace millrace::historical {
namespace {

using millrace::testing::connect;
using millrace::testing::eventually;
using millrace::testing::publish_numbered;
using millrace::testing::TestCore;

// Numbered trades of one publisher: each once and in order.
struct Numbered {
  std::uint64_t next = 0;
  void operator()(const Event& event, std::size_t) {
    ASSERT_EQ(event.offset, Offset(next));
    ASSERT_EQ(event.sequence(), Sequence(next + 1));
    ASSERT_EQ(flatbuffers::GetRoot<schemas::TradeEvent>(event.payload().data())->buy_order_id(), next + 1);
    ++next;
  }
};

bool read_until(Replay& replay, Numbered& seen, std::uint64_t count) {
  return eventually([&] {
    while (replay.poll(seen, 1'000) > 0 && !::testing::Test::HasFatalFailure()) {
    }
    return seen.next >= count || replay.error() || ::testing::Test::HasFatalFailure();
  });
}

TEST(ReplayProcess, AReaderOfTheFolderSeesAllWhileItIsWrittenAndDisturbsNobody) {
  constexpr std::uint64_t count = 600'000;  // two segments
  TestCore core;
  auto puppet = core.puppet("trade_events", "maker", count);
  const std::string folder = core.log_folder("trade_events");
  ASSERT_TRUE(puppet.line_with("recorded"));
  for (const auto mode : {wal::ReadMode::pread, wal::ReadMode::mapped}) {
    TopicLog log = log_folder(folder);
    log.mode = mode;
    const auto replay = Replay::open({{.log = log, .to = ToNever{}}});
    ASSERT_TRUE(replay) << replay.error().message;
    Numbered seen;
    ASSERT_TRUE(read_until(**replay, seen, count));
    ASSERT_FALSE((*replay)->error()) << (*replay)->error()->message;
    EXPECT_EQ(seen.next, count);
    EXPECT_EQ((*replay)->counts().missing + (*replay)->counts().invalid, 0u);
  }
  EXPECT_EQ(puppet.line_with("done"), "done " + std::to_string(count));
  EXPECT_EQ(puppet.wait(), 0);
  const auto bus = connect(core);
  const auto status = millrace::testing::trade_events_status(*bus);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state, control::TopicState::ok);
  EXPECT_EQ(status->recorded_end, count);
  EXPECT_EQ(core.stop(), 0);
}

TEST(ReplayProcess, FollowsIntoLiveOverTheDeathOfTheCore) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker");
  ASSERT_TRUE(publisher) << publisher.error().message;
  std::uint64_t published = 0;
  const auto publish = [&](int count) {
    for (int done = 0; done < count;) {
      if (publish_numbered(*publisher)) {
        ++done;
        ++published;
      } else {
        ASSERT_TRUE(eventually([&] { return publisher->idle(), bus->connected(); }));
      }
    }
  };
  publish(5'000);
  ASSERT_TRUE(eventually([&] { return publisher->recorded_sequence() == Sequence(published); }));
  for (const Level level : {Level::recorded, Level::synced}) {
    auto log = bus_topic(*bus, "trade_events", level);
    ASSERT_TRUE(log) << log.error().message;
    const auto replay = Replay::open({{.log = *log, .to = ToNever{}}});
    ASSERT_TRUE(replay) << replay.error().message;
    Numbered seen;
    ASSERT_TRUE(read_until(**replay, seen, published));
    publish(1'000);
    ASSERT_TRUE(read_until(**replay, seen, published));
    core.kill();
    ASSERT_TRUE(eventually([&] { return (*replay)->poll(seen), !(*replay)->connected(); }));
    core.start();
    publish(1'000);
    ASSERT_TRUE(read_until(**replay, seen, published));
    ASSERT_FALSE((*replay)->error()) << (*replay)->error()->message;
    EXPECT_EQ(seen.next, published);
    EXPECT_TRUE((*replay)->connected());
  }
  const auto unknown = bus_topic(*bus, "nothing");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_NE(unknown.error().message.find("nothing"), std::string::npos);
}

TEST(ReplayProcess, FromADurableConsumersCheckpoint) {
  TestCore core;
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker");
  ASSERT_TRUE(publisher) << publisher.error().message;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(publish_numbered(*publisher));
  auto consumer =
      bus->subscribe("trade_events", {.level = Level::synced, .start = StartEarliest{}, .consumer = "risk"});
  ASSERT_TRUE(consumer) << consumer.error().message;
  std::uint64_t read = 0;
  ASSERT_TRUE(eventually([&] { return read += consumer->poll([](const Event&) {}), read == 100; }));
  ASSERT_TRUE(consumer->ack(Offset(40)));
  ASSERT_TRUE(eventually([&] { return consumer->follower()->checkpoint() == Offset(40); }));
  auto by_core = bus_topic(*bus, "trade_events");
  ASSERT_TRUE(by_core);
  for (const TopicLog& log : {*by_core, log_folder(core.log_folder("trade_events"))}) {
    const auto replay = Replay::open({{.log = log, .from = FromConsumer{"risk"}}});
    ASSERT_TRUE(replay) << replay.error().message;
    Numbered seen{40};
    ASSERT_TRUE(read_until(**replay, seen, 100));
    EXPECT_TRUE((*replay)->ended());
  }
}

}  // namespace
}  // namespace millrace::historical
