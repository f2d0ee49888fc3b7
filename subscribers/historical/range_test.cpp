// Proves where ranges begin and end, and that each that cannot be is refused with the values and what there is.
#include "subscribers/historical/range.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "subscribers/historical/testing/trade_log.hpp"
#include "wal/checkpoints.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using ::testing::AllOf;
using testing::at;
using ::testing::HasSubstr;
using testing::offsets;
using testing::run;
using testing::take;
using testing::TradeLog;

// Ten batches of three trades, a second apart: offset 3 * s is the first of second s.
class RangeTest : public ::testing::Test {
 protected:
  RangeTest() { add(10); }
  void add(int seconds) {
    for (int i = 0; i < seconds; ++i) log_.add(at(second_++), {"A", "B", "C"});
  }

  [[nodiscard]] std::vector<std::uint64_t> read(From from, To to = ToEnd{}) {
    const auto replay = Replay::open({{.log = log_.log(), .from = std::move(from), .to = to}});
    EXPECT_TRUE(replay) << replay.error().message;
    auto found = offsets(take(**replay));
    EXPECT_TRUE((*replay)->ended());
    return found;
  }
  [[nodiscard]] Error refusal(From from, To to = ToEnd{}) {
    const auto replay = Replay::open({{.log = log_.log(), .from = std::move(from), .to = to}});
    EXPECT_FALSE(replay);
    return replay ? Error{} : replay.error();
  }
  void expect_refused(From from, To to, ErrorCode code, const ::testing::Matcher<std::string>& message) {
    const Error error = refusal(std::move(from), to);
    EXPECT_EQ(error.code, code);
    EXPECT_THAT(error.message, AllOf(HasSubstr("trades: "), message));
  }
  [[nodiscard]] std::map<std::string, std::vector<std::byte>> everything() {
    std::map<std::string, std::vector<std::byte>> files;
    const auto names = disk_.list(log_.folder()).value();
    for (const std::string& name : names) {
      files[name] = *disk_.bytes_of(log_.folder() + "/" + name);
    }
    return files;
  }
  void delete_old() {
    add(400);
    ASSERT_TRUE(log_.writer().retain(64 * 1024));
    first_ = log_.writer().first_offset().value();
    ASSERT_GT(first_, 100u);
  }

  wal::FaultFileSystem disk_;
  TradeLog log_{disk_};
  int second_ = 0;
  std::uint64_t first_ = 0;
};

TEST_F(RangeTest, ByOffsetByTimeAndMixed) {
  EXPECT_EQ(read(StartEarliest{}), run(0, 30));
  EXPECT_EQ(read(Offset(4), Offset(20)), run(4, 20));
  EXPECT_EQ(read(at(2), at(5)), run(6, 15));
  EXPECT_EQ(read(at(1.5), at(2.5)), run(6, 9));
  EXPECT_EQ(read(Offset(7), at(5)), run(7, 15));
  EXPECT_EQ(read(at(8), Offset(25)), run(24, 25));
  EXPECT_EQ(read(at(8), at(1000)), run(24, 30));
  EXPECT_EQ(read(at(-5)), run(0, 30));
}

// Two seconds in the middle are bad: what begins there begins with what is lost, and is told so.
TEST_F(RangeTest, ATimeAtWhichTheLogIsCorruptIsFoundAllTheSame) {
  add(200);
  for (const std::uint64_t second : {4, 5}) {
    auto& bytes = *disk_.bytes_of(wal::testing::segment_paths(disk_, log_.folder()).at(0));
    const auto frame = testing::trade(second * 3 + 1, "A");
    const auto bad = std::search(bytes.begin(), bytes.end(), frame.begin(), frame.end());
    ASSERT_NE(bad, bytes.end());
    *(bad + 60) ^= std::byte{1};
  }
  std::vector<Offset> lost;
  const auto tell = [&](const Notice& notice) { lost.insert(lost.end(), {notice.from, notice.to}); };
  const auto from_there = Replay::open({{.log = log_.log(), .from = at(5), .to = at(7)}}, {.on_notice = tell}).value();
  EXPECT_EQ(offsets(take(*from_there)), run(18, 21));
  EXPECT_THAT(lost, ::testing::ElementsAre(Offset(15), Offset(18)));
  lost.clear();
  const auto to_there = Replay::open({{.log = log_.log(), .from = at(2), .to = at(5)}}, {.on_notice = tell}).value();
  EXPECT_EQ(offsets(take(*to_there)), run(6, 12));
  EXPECT_THAT(lost, ::testing::ElementsAre(Offset(12), Offset(18)));
  lost.clear();
  const auto sent_there = Replay::open({{.log = log_.log(), .to = at(7)}}, {.on_notice = tell}).value();
  ASSERT_TRUE(sent_there->seek(at(5)));
  EXPECT_EQ(offsets(take(*sent_there)), run(18, 21));
  EXPECT_THAT(lost, ::testing::ElementsAre(Offset(15), Offset(18)));
}

TEST_F(RangeTest, MayBeEmpty) {
  EXPECT_EQ(read(Offset(5), Offset(5)), run(0, 0));
  EXPECT_EQ(read(Offset(30)), run(0, 0));
  EXPECT_EQ(read(StartLatest{}), run(0, 0));
  EXPECT_EQ(read(at(1.2), at(1.8)), run(0, 0));
  EXPECT_EQ(read(StartEarliest{}, at(-1)), run(0, 0));
}

TEST_F(RangeTest, ReversedIsRefused) {
  expect_refused(Offset(5), Offset(3), ErrorCode::invalid_argument, HasSubstr("offsets 5 to 3: reversed"));
  expect_refused(Offset(500), Offset(300), ErrorCode::invalid_argument, HasSubstr("offsets 500 to 300: reversed"));
  expect_refused(at(2), at(1), ErrorCode::invalid_argument,
                 HasSubstr("times 2026-03-01T09:30:02.000000000Z to 2026-03-01T09:30:01.000000000Z: reversed"));
  expect_refused(at(8), Offset(3), ErrorCode::invalid_argument,
                 HasSubstr("begins at offset 24 and ends before offset 3: reversed"));
  expect_refused(Offset(20), at(1), ErrorCode::invalid_argument,
                 HasSubstr("begins at offset 20 and ends before offset 3: reversed"));
}

TEST_F(RangeTest, BeyondTheEndIsRefused) {
  expect_refused(Offset(31), ToEnd{}, ErrorCode::invalid_argument,
                 HasSubstr("offset 31 is beyond the end: the log ends at 30"));
  expect_refused(Offset(31), ToNever{}, ErrorCode::invalid_argument, HasSubstr("the log ends at 30"));
  expect_refused(Offset(0), Offset(31), ErrorCode::invalid_argument,
                 HasSubstr("offset 31, is not there yet: the log ends at 30"));
  expect_refused(at(9.5), ToEnd{}, ErrorCode::invalid_argument,
                 AllOf(HasSubstr("nothing was recorded at 2026-03-01T09:30:09.500000000Z or later"),
                       HasSubstr("ends at offset 30"), HasSubstr("recorded at 2026-03-01T09:30:09.000000000Z")));
}

TEST_F(RangeTest, DeletedIsRefused) {
  delete_old();
  const std::string first = std::to_string(first_);
  expect_refused(Offset(5), ToEnd{}, ErrorCode::deleted,
                 AllOf(HasSubstr("offset 5 is deleted"), HasSubstr("first there is: " + first)));
  expect_refused(StartEarliest{}, Offset(5), ErrorCode::deleted,
                 AllOf(HasSubstr("before offset 5 is deleted"), HasSubstr("first there is: " + first)));
  expect_refused(at(1), at(2), ErrorCode::deleted,
                 AllOf(HasSubstr("before 2026-03-01T09:30:02.000000000Z is deleted"), HasSubstr("offset " + first)));
  EXPECT_EQ(read(StartEarliest{}), run(first_, 1230));
  EXPECT_EQ(read(Offset(first_)), run(first_, 1230));
}

TEST_F(RangeTest, FromADurableConsumersCheckpointWithoutWritingAnything) {
  expect_refused(FromConsumer{"risk"}, ToEnd{}, ErrorCode::not_found,
                 HasSubstr("there is no durable consumer 'risk'; there is none at all"));
  const auto log_id = wal::testing::log_id;
  {
    auto checkpoints = wal::Checkpoints::open(disk_, log_.folder(), log_id).value();
    ASSERT_TRUE(checkpoints.store(
        {{"risk", 1, millrace::Run(1), Offset(12), at(0)}, {"books", 3, millrace::Run(1), Offset(2), at(0)}}));
  }
  ASSERT_TRUE(log_.writer().sync());
  const auto before = everything();
  EXPECT_EQ(read(FromConsumer{"risk"}), run(12, 30));
  EXPECT_EQ(read(FromConsumer{"books"}, Offset(4)), run(2, 4));
  EXPECT_EQ(everything(), before);
  expect_refused(FromConsumer{"rusk"}, ToEnd{}, ErrorCode::not_found, HasSubstr("'rusk'; there are: risk, books"));
}

TEST_F(RangeTest, ACheckpointThatTheLogHasDeletedOrLostIsRefused) {
  delete_old();
  auto checkpoints = wal::Checkpoints::open(disk_, log_.folder(), wal::testing::log_id).value();
  ASSERT_TRUE(checkpoints.store(
      {{"late", 1, millrace::Run(1), Offset(12), at(0)}, {"ahead", 1, millrace::Run(1), Offset(9999), at(0)}}));
  expect_refused(FromConsumer{"late"}, ToEnd{}, ErrorCode::deleted, HasSubstr("offset 12 is deleted"));
  expect_refused(FromConsumer{"ahead"}, ToEnd{}, ErrorCode::rolled_back, HasSubstr("last common offset is 1230"));
}

TEST_F(RangeTest, AFolderThatIsNoLogOrOfANewerFormatIsRefusedByName) {
  TopicLog nowhere = log_.log();
  nowhere.folder = "/nowhere";
  nowhere.name = "nowhere";
  const auto refused = Replay::open({{.log = nowhere}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
  EXPECT_THAT(refused.error().message, HasSubstr("nowhere: "));

  auto& bytes = *disk_.bytes_of(wal::testing::segment_paths(disk_, log_.folder()).at(0));
  bytes[4] = std::byte{7};
  bytes[20] ^= std::byte{1};
  expect_refused(StartEarliest{}, ToEnd{}, ErrorCode::unsupported,
                 AllOf(HasSubstr("format version 7"), HasSubstr("use the millrace that wrote it")));
}

TEST(RangeOfNothing, NoTopicIsRefused) {
  EXPECT_THAT(Replay::open({}).error().message, HasSubstr("name at least one"));
}

}  // namespace
}  // namespace millrace::historical
