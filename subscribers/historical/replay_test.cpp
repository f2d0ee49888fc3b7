// Proves what a replay of files hands over: all of a range once and in log order, several topics by record time, and
// nothing lost in silence where the log has lost something.
#include "subscribers/historical/replay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "subscribers/historical/testing/trade_log.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using testing::at;
using ::testing::ElementsAre;
using testing::Handed;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::offsets;
using testing::run;
using testing::take;
using testing::TradeLog;

std::unique_ptr<Replay> open(std::vector<ReplayTopic> topics, ReplayOptions options = {}) {
  auto replay = Replay::open(std::move(topics), std::move(options));
  EXPECT_TRUE(replay) << replay.error().message;
  return replay ? std::move(*replay) : nullptr;
}

TEST(ReplayTest, HandsOverEveryEventOnceWithWhatTheLogKnowsOfIt) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  for (int i = 0; i < 200; ++i) log.add(at(i), {"MILL", "RACE", "MILL"});
  ASSERT_GT(wal::testing::segment_paths(disk, log.folder()).size(), 2u);
  const auto replay = open({{.log = log.log()}});
  std::uint64_t next = 0;
  while (!replay->ended()) {
    replay->poll([&](const Event& event, std::size_t topic) {
      const auto& table = *flatbuffers::GetRoot<schemas::TradeEvent>(event.payload().data());
      ASSERT_EQ(event.offset, Offset(next));
      ASSERT_EQ(event.sequence(), Sequence(next + 1));
      ASSERT_EQ(table.buy_order_id(), next + 1);
      ASSERT_EQ(event.record_time, at(static_cast<double>(next / 3)));
      ASSERT_EQ(event.publisher, wal::testing::publisher);
      ASSERT_EQ(topic, 0u);
      ++next;
    });
    ASSERT_FALSE(replay->error());
    ASSERT_EQ(replay->position(), Offset(next));
  }
  EXPECT_EQ(next, 600u);
  EXPECT_EQ(replay->counts().handed_over, 600u);
  EXPECT_EQ(replay->type()->name(), "trade_events");
}

TEST(ReplayTest, ALimitEndsAPollInsideABatchAndTheNextOneGoesOnThere) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  log.add(at(0), {"A", "B", "C", "D", "E"});
  const auto replay = open({{.log = log.log()}});
  EXPECT_EQ(offsets(take(*replay, 2)), run(0, 2));
  EXPECT_EQ(replay->position(), Offset(2));
  EXPECT_FALSE(replay->ended());
  EXPECT_EQ(offsets(take(*replay, 2)), run(2, 4));
  EXPECT_EQ(offsets(take(*replay)), run(4, 5));
  EXPECT_TRUE(replay->ended());
}

TEST(ReplayTest, EndsAtWhatWasThereAtTheOpening) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  log.add_every(0, 1, 5);
  const auto replay = open({{.log = log.log()}});
  log.add_every(10, 1, 5);
  EXPECT_EQ(offsets(take(*replay)), run(0, 5));
  EXPECT_TRUE(replay->ended());
}

}  // namespace
}  // namespace millrace::historical
