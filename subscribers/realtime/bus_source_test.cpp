// Proves that the bus serves the gateway as a source should: topics, publishers and health as the core has them, every
// event once and in order, the log from any start, and that a core which stands still or dies makes nobody wait.
#include "subscribers/realtime/bus_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "subscribers/realtime/testing/processes.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::gateway {
namespace {

using testing::connect;
using testing::eventually;
using testing::Feed;
using ::testing::HasSubstr;
using testing::Process;
using testing::recorded_end;
using testing::TestCore;

std::size_t index_of(const std::vector<TopicInfo>& topics, std::string_view name) {
  for (std::size_t i = 0; i < topics.size(); ++i) {
    if (topics[i].name == name) return i;
  }
  ADD_FAILURE() << "no topic " << name;
  return 0;
}

// Steps a source as the feeder does, and checks that each event of trade_events comes once and in order.
struct Fed {
  EventSource& source;
  std::size_t trades;
  std::uint64_t next;

  explicit Fed(EventSource& from) : source(from) {
    const auto topics = source.topics();
    trades = index_of(topics, "trade_events");
    next = topics[trades].next.value();
  }
  void poll() {
    source.poll(
        [this](std::size_t topic, const LiveEvent& event) {
          if (topic != trades) return;
          ASSERT_EQ(event.offset.value(), next);
          ASSERT_EQ(event.frame.sequence().value(), next + 1);
          ++next;
        },
        512);
  }
  [[nodiscard]] bool to(std::uint64_t end) {
    return eventually([&] { return poll(), next >= end || ::testing::Test::HasFatalFailure(); }) && next >= end;
  }
  // As the feeder's snapshot, again and again until it says that.
  [[nodiscard]] bool says(std::string_view reason) {
    return eventually([&] {
      poll();
      (void)source.topics();
      for (const std::string& known : source.health().reasons) {
        if (known.find(reason) != std::string::npos) return true;
      }
      return false;
    });
  }
  [[nodiscard]] bool is_well() {
    return eventually([&] { return poll(), (void)source.topics(), source.health().ok(); });
  }
};

TEST(BusSource, ACoreThatStandsStillIsSeenAndTheFeederDoesNotWaitForIt) {
  TestCore core;
  // What waits for the core now waits longer than this test may take.
  auto bus = connect(core, std::chrono::hours(1));
  auto source = BusSource::open(*bus);
  ASSERT_TRUE(source) << source.error().message;
  Fed fed(**source);
  EXPECT_TRUE((*source)->health().ok()) << (*source)->health().reasons.front();
  Feed feed(*bus, "maker", 64);
  ASSERT_TRUE(fed.to(1'000));

  core.process().signal(SIGSTOP);
  EXPECT_TRUE(fed.says("the core has not answered for"));
  const std::uint64_t before = fed.next;
  auto replay = (*source)->replay(fed.trades, Earliest{});
  ASSERT_TRUE(replay) << replay.error().message;
  const auto count = (*replay)->read([](const LiveEvent&) {}, before);
  EXPECT_TRUE(count && *count > 0) << "the log is read without the core";

  core.process().signal(SIGCONT);
  EXPECT_TRUE(fed.is_well());
  feed.stop();
  EXPECT_TRUE(fed.to(feed.published()));
}

TEST(BusSource, AfterTheCoreIsKilledEventsAndReplaysGoOnInTheNextRun) {
  TestCore core;
  auto bus = connect(core);
  auto source = BusSource::open(*bus);
  ASSERT_TRUE(source) << source.error().message;
  Fed fed(**source);
  Feed feed(*bus, "maker", 64);
  ASSERT_TRUE(fed.to(1'000));

  core.kill();
  EXPECT_TRUE(fed.says("the core is away"));
  core.start();
  EXPECT_TRUE(fed.is_well());
  const std::uint64_t before = recorded_end(*bus);
  ASSERT_TRUE(fed.to(before + 1'000));
  feed.stop();
  ASSERT_TRUE(fed.to(feed.published()));

  const TopicInfo topic = (*source)->topics()[fed.trades];
  EXPECT_EQ(topic.run.value(), 2u);
  auto replay = (*source)->replay(fed.trades, Position{topic.log_id, topic.run, Offset(10)});
  ASSERT_TRUE(replay) << "a position of the run that the source itself names: " << replay.error().message;
  EXPECT_EQ((*replay)->next(), Offset(10));
}

}  // namespace
}  // namespace millrace::gateway
