// Proves what a replay of files hands over: all of a range once and in log order, several topics by record time, and
// nothing lost in silence where the log has lost something.
#include "subscribers/historical/replay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

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

TEST(ReplayTest, TopicsAreMergedByRecordTimeThenAsGivenThenByOffset) {
  wal::FaultFileSystem disk;
  TradeLog a(disk, "/a"), b(disk, "/b"), c(disk, "/c");
  a.add(at(1), {"A", "A"});
  b.add(at(1), {"B"});
  c.add(at(0.5), {"C"});
  a.add(at(1), {"A"});
  a.add(at(3), {"A"});
  b.add(at(2), {"B", "B"});
  c.add(at(2), {"C"});
  b.add(at(4), {"B"});
  const auto replay = open({{.log = a.log()}, {.log = b.log()}, {.log = c.log()}});
  const std::vector<Handed> wanted{{2, 0}, {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {0, 3}, {1, 3}};
  EXPECT_EQ(take(*replay), wanted);
  EXPECT_TRUE(replay->ended());
  EXPECT_EQ(replay->counts().late, 0u);
  EXPECT_EQ(replay->record_time(), at(4));

  // However the polls fall.
  const auto by_ones = open({{.log = a.log()}, {.log = b.log()}, {.log = c.log()}});
  std::vector<Handed> seen;
  while (!by_ones->ended()) {
    for (const Handed one : take(*by_ones, 1)) seen.push_back(one);
  }
  EXPECT_EQ(seen, wanted);
}

TEST(ReplayTest, EachTopicHasItsRangeAndItsFilters) {
  wal::FaultFileSystem disk;
  TradeLog a(disk, "/a"), b(disk, "/b");
  for (int i = 0; i < 6; ++i) {
    a.add(at(i), {"A", "X"});
    b.add(at(i + 0.5), {"B", "X"});
  }
  const auto replay = open({{.log = a.log(), .from = at(3), .filters = {"instrument=A"}},
                            {.log = b.log(), .from = Offset(7), .to = Offset(9)}});
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 6}, {1, 7}, {0, 8}, {1, 8}, {0, 10}}));
  EXPECT_TRUE(replay->ended());
}

TEST(ReplayTest, AReaderOfFilesMayFollowThemWithoutAnEnd) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  log.add_every(0, 1, 3);
  const auto replay = open({{.log = log.log(), .from = Offset(1), .to = ToNever{}}});
  EXPECT_EQ(offsets(take(*replay)), run(1, 3));
  EXPECT_FALSE(replay->ended());
  log.add_every(3, 1, 400);
  EXPECT_EQ(offsets(take(*replay)), run(3, 403));
}

TEST(ReplayTest, ASeekGoesForthAndBack) {
  wal::FaultFileSystem disk;
  TradeLog a(disk, "/a"), b(disk, "/b");
  a.add_every(0, 1, 100);
  b.add_every(0.5, 1, 100);
  const auto replay = open({{.log = a.log()}, {.log = b.log(), .to = Offset(90)}});
  ASSERT_EQ(take(*replay, 10).size(), 10u);
  ASSERT_TRUE(replay->seek(at(50)));
  EXPECT_EQ(take(*replay, 3), (std::vector<Handed>{{0, 50}, {1, 50}, {0, 51}}));
  ASSERT_TRUE(replay->seek(Offset(20), 1));
  EXPECT_EQ(take(*replay, 3), (std::vector<Handed>{{1, 20}, {0, 21}, {1, 21}}));
  ASSERT_TRUE(replay->seek(Offset(0)));
  EXPECT_EQ(take(*replay, 2), (std::vector<Handed>{{0, 0}, {1, 0}}));
  ASSERT_TRUE(replay->seek(Offset(90), 1));
  EXPECT_EQ(replay->counts().late, 0u);
  ASSERT_TRUE(replay->seek(at(98)));
  EXPECT_EQ(take(*replay), (std::vector<Handed>{{0, 98}, {0, 99}}));
  EXPECT_TRUE(replay->ended());
}

TEST(ReplayTest, ASeekThatCannotBeChangesNothing) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  log.add_every(0, 1, 10);
  const auto replay = open({{.log = log.log(), .to = Offset(8)}});
  ASSERT_EQ(offsets(take(*replay, 3)), run(0, 3));
  const auto beyond = replay->seek(Offset(9));
  ASSERT_FALSE(beyond);
  EXPECT_THAT(beyond.error().message, HasSubstr("offset 9 is beyond the end of this replay, 8"));
  EXPECT_FALSE(replay->seek(Offset(1), 1));
  EXPECT_EQ(offsets(take(*replay)), run(3, 8));
}

TEST(ReplayTest, InvalidEventsAreLeftOutToldAndCounted) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  log.add(at(0), {"A"});
  log.add(at(1), {"A", "A"}, /*valid=*/false);
  log.add(at(2), {"A"});
  std::vector<Notice> told;
  const auto replay = open({{.log = log.log()}}, {.on_notice = [&](const Notice& n) { told.push_back(n); }});
  EXPECT_THAT(offsets(take(*replay)), ElementsAre(0, 3));
  EXPECT_EQ(replay->counts().invalid, 2u);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].kind, Notice::Kind::invalid);
  EXPECT_EQ(told[1].from, Offset(2));
  EXPECT_THAT(told[1].message, HasSubstr("offset 2 is no valid event of type trade_events"));

  const auto as_it_is = open({{.log = log.log()}}, {.verify = false});
  EXPECT_EQ(offsets(take(*as_it_is)), run(0, 4));
}

TEST(ReplayTest, GapsAreToldWhereTheyAre) {
  wal::FaultFileSystem disk;
  TradeLog log(disk);
  log.add(at(0), {"A"});
  ASSERT_TRUE(log.writer().append_gap(wal::testing::publisher, Sequence(2), Sequence(5), 1, at(1)));
  log.add(at(2), {"A"});
  std::vector<std::string> story;
  const auto replay =
      open({{.log = log.log()}}, {.on_notice = [&](const Notice& n) {
             story.push_back("gap " + std::to_string(n.gap.from.value()) + " to " + std::to_string(n.gap.to.value()));
           }});
  while (replay->poll([&](const Event& event, std::size_t) {
    story.push_back("event " + std::to_string(event.sequence().value()));
  }) > 0) {
  }
  EXPECT_THAT(story, ElementsAre("event 1", "gap 2 to 5", "event 6"));
  EXPECT_EQ(replay->counts().missing, 4u);
}

class LossTest : public ::testing::Test {
 protected:
  // 300 events in batches of three over several segments; the batch with offset 30 is bad.
  LossTest() {
    for (int i = 0; i < 100; ++i) log_.add(at(i), {"A", "B", "C"});
    auto& bytes = *disk_.bytes_of(wal::testing::segment_paths(disk_, log_.folder()).at(0));
    const auto frame = testing::trade(31, "A");
    const auto bad = std::search(bytes.begin(), bytes.end(), frame.begin(), frame.end());
    EXPECT_NE(bad, bytes.end());
    *(bad + 60) ^= std::byte{1};
  }
  [[nodiscard]] ReplayOptions telling(OnLoss on_loss) {
    return {.on_loss = on_loss, .on_notice = [this](const Notice& notice) { told_.push_back(notice); }};
  }

  wal::FaultFileSystem disk_;
  TradeLog log_{disk_};
  std::vector<Notice> told_;
};

TEST_F(LossTest, CorruptionIsToldWithItsOffsetsAndTheReplayGoesOnBehindIt) {
  const auto replay = open({{.log = log_.log()}}, telling(OnLoss::go_on));
  auto wanted = run(0, 30);
  for (const auto offset : run(33, 300)) wanted.push_back(offset);
  EXPECT_EQ(offsets(take(*replay)), wanted);
  EXPECT_TRUE(replay->ended());
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].kind, Notice::Kind::corrupt);
  EXPECT_EQ(told_[0].from, Offset(30));
  EXPECT_EQ(told_[0].to, Offset(33));
  EXPECT_THAT(told_[0].message, HasSubstr("events from offset 30 to before 33 are lost"));
}

TEST_F(LossTest, OrItEndsThereIfThatIsWantedOrNobodyListens) {
  for (const bool listens : {true, false}) {
    const auto replay = open({{.log = log_.log()}}, listens ? telling(OnLoss::stop) : ReplayOptions{});
    EXPECT_EQ(offsets(take(*replay)), run(0, 30));
    ASSERT_TRUE(replay->error());
    EXPECT_EQ(replay->error()->code, ErrorCode::corrupt);
    EXPECT_THAT(replay->error()->message, HasSubstr("trades: "));
    EXPECT_THAT(replay->error()->message, HasSubstr("offset 30"));
    EXPECT_THAT(take(*replay), IsEmpty());
  }
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(LossTest, CorruptionAtTheEndOfTheRangeEndsIt) {
  const auto replay = open({{.log = log_.log(), .to = Offset(32)}}, telling(OnLoss::go_on));
  EXPECT_EQ(offsets(take(*replay)), run(0, 30));
  EXPECT_TRUE(replay->ended());
  EXPECT_EQ(told_.size(), 1u);
}

// The replay reads the segment it is in to its end.
TEST_F(LossTest, WhatRetentionDeletesUnderTheReplayIsTold) {
  const auto replay = open({{.log = log_.log(), .from = Offset(33)}}, telling(OnLoss::go_on));
  const auto stops = open({{.log = log_.log(), .from = Offset(33)}});
  ASSERT_EQ(offsets(take(*replay, 1)), run(33, 34));
  ASSERT_EQ(offsets(take(*stops, 1)), run(33, 34));
  ASSERT_TRUE(log_.writer().retain(0));
  const std::uint64_t first = log_.writer().first_offset().value();
  ASSERT_GT(first, 100u);
  const auto rest = offsets(take(*replay));
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].kind, Notice::Kind::deleted);
  EXPECT_EQ(told_[0].to, Offset(first));
  auto wanted = run(34, told_[0].from.value());
  for (const auto offset : run(first, 300)) wanted.push_back(offset);
  EXPECT_EQ(rest, wanted);
  EXPECT_TRUE(replay->ended());

  EXPECT_EQ(offsets(take(*stops)), run(34, told_[0].from.value()));
  ASSERT_TRUE(stops->error());
  EXPECT_EQ(stops->error()->code, ErrorCode::deleted);
}

TEST(RollBackTest, OffsetsThatAreGivenOutAgainAreToldAndComeAgain) {
  wal::FaultFileSystem disk;
  std::optional<TradeLog> log(std::in_place, disk);
  log->add(at(0), {"A", "B", "C"});
  const auto kept = *disk.bytes_of(wal::testing::segment_paths(disk, "/trades").at(0));
  const TopicLog where = log->log();
  log->add(at(1), {"A", "B", "C", "D"});
  std::vector<Notice> told;
  const auto replay =
      open({{.log = where, .to = ToNever{}}}, {.on_notice = [&](const Notice& n) { told.push_back(n); }});
  const auto stops = open({{.log = where, .to = ToNever{}}});
  ASSERT_EQ(offsets(take(*replay)), run(0, 7));
  ASSERT_EQ(offsets(take(*stops)), run(0, 7));
  log.reset();
  *disk.bytes_of(wal::testing::segment_paths(disk, "/trades").at(0)) =
      kept;  // the power goes, and with it the last batch
  log.emplace(disk);
  ASSERT_EQ(log->writer().next_offset(), Offset(3));
  log->add(at(2), {"X", "Y", "Z", "U", "V", "W"});
  // A reader at a tail looks for another run only now and then.
  const auto read = [](Replay& from) {
    std::vector<std::uint64_t> seen;
    for (int i = 0; i < 100 && seen.empty(); ++i) seen = offsets(take(from));
    return seen;
  };
  EXPECT_EQ(read(*replay), run(3, 9));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind, Notice::Kind::rolled_back);
  EXPECT_EQ(told[0].from, Offset(3));
  EXPECT_THAT(read(*stops), IsEmpty());
  ASSERT_TRUE(stops->error());
  EXPECT_EQ(stops->error()->code, ErrorCode::rolled_back);
}

}  // namespace
}  // namespace millrace::historical
