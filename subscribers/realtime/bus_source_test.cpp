// Proves that the bus serves the gateway as a source should: topics, publishers and health as the core has them, every
// event once and in order, the log from any start, and that a core which stands still or dies makes nobody wait.
#include "subscribers/realtime/bus_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "subscribers/realtime/testing/processes.hpp"

namespace millrace::gateway {
namespace {

using testing::connect;
using testing::eventually;
using testing::Feed;
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
  std::uint64_t poll() {
    return source.poll(
        [this](std::size_t topic, const LiveEvent& event) {
          if (topic != trades) return;
          ASSERT_EQ(event.offset.value(), next);
          ASSERT_EQ(event.frame.sequence().value(), next + 1);
          ++next;
        },
        512);
  }
  [[nodiscard]] bool to(std::uint64_t end) {
    return eventually([&] {
             while (next < end && poll() > 0 && !::testing::Test::HasFatalFailure()) {
             }
             return next >= end || ::testing::Test::HasFatalFailure();
           }) &&
           next >= end;
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
  auto replay = (*source)->replay(fed.trades, Earliest{}, Level::recorded);
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
  auto replay = (*source)->replay(fed.trades, Position{topic.log_id, topic.run, Offset(10)}, Level::recorded);
  ASSERT_TRUE(replay) << "a position of the run that the source itself names: " << replay.error().message;
  EXPECT_EQ((*replay)->next(), Offset(10));
}

TEST(BusSource, APublisherAtFullSpeedIsFollowedWithoutGapAndTheLogIsReadFromAnyStart) {
  TestCore core;
  auto bus = connect(core);
  auto source = BusSource::open(*bus);
  ASSERT_TRUE(source) << source.error().message;
  Fed fed(**source);
  EXPECT_EQ(fed.next, 0u);
  Process puppet = core.puppet("trade_events", "maker", 300'000);
  ASSERT_TRUE(fed.to(1'000));

  // While it runs on: what lies before the end, from the log.
  const auto first_of = [&](const ReplayStart& start) -> std::optional<Offset> {
    auto replay = (*source)->replay(fed.trades, start, Level::recorded);
    EXPECT_TRUE(replay) << replay.error().message;
    std::optional<Offset> first;
    (void)(*replay)->read([&](const LiveEvent& event) { first = event.offset; }, 1);
    return first;
  };
  EXPECT_EQ(first_of(Earliest{}), Offset(0));
  EXPECT_EQ(first_of(Offset(700)), Offset(700));
  const TopicInfo topic = (*source)->topics()[fed.trades];
  EXPECT_EQ(first_of(Position{topic.log_id, topic.run, Offset(800)}), Offset(800));
  // At a time: no event before it is of that time, or later.
  WallTime time;
  auto replay = (*source)->replay(fed.trades, Offset(999), Level::recorded);
  ASSERT_TRUE(replay);
  ASSERT_TRUE((*replay)->read([&](const LiveEvent& event) { time = event.record_time; }, 1));
  const auto at_time = first_of(time);
  ASSERT_TRUE(at_time && at_time->value() <= 999);
  replay = (*source)->replay(fed.trades, Earliest{}, Level::recorded);
  ASSERT_TRUE(replay);
  ASSERT_TRUE((*replay)->read(
      [&](const LiveEvent& event) { EXPECT_LT(event.record_time, time) << event.offset.value(); }, at_time->value()));
  EXPECT_EQ((*replay)->next(), *at_time);

  EXPECT_TRUE(fed.to(300'000));
  EXPECT_FALSE((*source)->replay(fed.trades, Offset(300'001), Level::recorded)) << "beyond the end";
  replay = (*source)->replay(fed.trades, Earliest{}, Level::recorded);
  ASSERT_TRUE(replay);
  std::uint64_t next = 0;
  for (;;) {
    const auto count = (*replay)->read(
        [&](const LiveEvent& event) {
          ASSERT_EQ(event.offset.value(), next);
          ++next;
        },
        4096);
    ASSERT_TRUE(count) << count.error().message;
    if (*count == 0) break;
  }
  EXPECT_EQ(next, 300'000u);
}

TEST(BusSource, ADamagedLogIsNeverReadBehindTheDamage) {
  TestCore core;
  auto bus = connect(core);
  auto source = BusSource::open(*bus);
  ASSERT_TRUE(source) << source.error().message;
  Fed fed(**source);
  Process puppet = core.puppet("trade_events", "maker", 20'000);
  ASSERT_TRUE(fed.to(20'000));
  std::filesystem::path segment;  // the first
  for (const auto& file : std::filesystem::directory_iterator(bus->topic("trade_events")->log_folder)) {
    if (file.path().extension() == ".wal" && (segment.empty() || file.path() < segment)) segment = file.path();
  }
  std::fstream bytes(segment, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(32 << 10);
  bytes << std::string(64, '\xff') << std::flush;
  ASSERT_TRUE(bytes.good()) << segment;

  auto replay = (*source)->replay(fed.trades, Earliest{}, Level::recorded);
  ASSERT_TRUE(replay);
  std::uint64_t next = 0;
  const auto read = [&] {
    return (*replay)->read(
        [&](const LiveEvent& event) {
          ASSERT_EQ(event.offset.value(), next);
          ++next;
        },
        20'000);
  };
  auto count = read();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().code, ErrorCode::corrupt);
  EXPECT_LT(next, 20'000u);
  const std::uint64_t whole = next;
  count = read();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().code, ErrorCode::corrupt);
  EXPECT_EQ(next, whole);
  EXPECT_EQ((*replay)->next(), Offset(whole));
}

TEST(BusSource, TopicsAndPublishersAreAsTheCoreHasThem) {
  TestCore core;
  auto bus = connect(core);
  auto source = BusSource::open(*bus);
  ASSERT_TRUE(source) << source.error().message;
  Fed fed(**source);
  std::vector<std::string> names;
  for (const TopicInfo& topic : (*source)->topics()) {
    EXPECT_EQ(topic.type, bus->topic(topic.name)->type);
    names.push_back(topic.name);
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("trade_events", "account_events", "market_l2", "order_events",
                                                     "orders", "risk_alerts", "system.health"));
  const auto becomes = [&](PublisherState state, Epoch epoch) {
    return eventually([&] {
      fed.poll();
      (void)(*source)->topics();
      const auto publishers = (*source)->publishers(fed.trades);
      return publishers.size() == 1 && publishers[0].name == "maker" && publishers[0].state == state &&
             publishers[0].epoch == epoch;
    });
  };
  EXPECT_TRUE((*source)->publishers(fed.trades).empty());
  for (const Epoch epoch : {Epoch(1), Epoch(2)}) {
    Process puppet = core.puppet("trade_events", "maker", 0);
    ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
    EXPECT_TRUE(becomes(PublisherState::healthy, epoch));
    puppet.signal(SIGKILL);
    (void)puppet.wait();
    EXPECT_TRUE(becomes(PublisherState::dead, epoch));
    EXPECT_TRUE(eventually([&] {
      while (fed.poll() > 0 && !HasFatalFailure()) {
      }
      (void)(*source)->topics();
      return (*source)->publishers(fed.trades)[0].last.value() == fed.next;
    })) << "what it committed last is told";
  }
}

}  // namespace
}  // namespace millrace::gateway
