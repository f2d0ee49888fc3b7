// Proves the rule of retention: who may be deleted and why, in what order of precedence, and who is warned before.
#include "wal/retention.hpp"

#include <gtest/gtest.h>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

// Events 100 to 199, recorded up to time 50; 10 bytes.
const SegmentFacts segment{{Offset(100), SegmentNumber(2)}, Offset(200), WallTime{50}, 10};

struct Case {
  const char* what;
  RetentionFacts facts;
  RetentionLimits limits;
  Retention verdict;
};
class RetentionRule : public ::testing::TestWithParam<Case> {};

TEST_P(RetentionRule, SaysWhoIsDeletedAndWhy) {
  const Case& c = GetParam();
  EXPECT_EQ(judge(segment, c.facts, c.limits), c.verdict) << c.what;
}

constexpr WallTime ages{51};  // older than that: the segment is
INSTANTIATE_TEST_SUITE_P(
    All, RetentionRule,
    ::testing::Values(
        Case{"no limit at all", {5, 1000, {}}, {}, Retention::kept},
        Case{"just enough room", {5, 1000, {}}, {5}, Retention::kept},
        Case{"not enough room", {4, 1000, {}}, {5}, Retention::free_space},
        Case{"not enough room, though somebody wants it", {4, 1000, Offset(0)}, {5}, Retention::free_space},
        Case{"room goes before bytes and age", {4, 1000, {}}, {5, 10, ages}, Retention::free_space},
        Case{"just so many bytes", {no_limit, 1000, {}}, {0, 1000}, Retention::kept},
        Case{"too many bytes", {no_limit, 1001, {}}, {0, 1000}, Retention::bytes},
        Case{"too many bytes, though somebody wants it", {no_limit, 1001, Offset(150)}, {0, 1000}, Retention::bytes},
        Case{"bytes go before age", {no_limit, 1001, {}}, {0, 1000, ages}, Retention::bytes},
        Case{"not old enough", {no_limit, 1, {}}, {0, no_limit, WallTime{50}}, Retention::kept},
        Case{"old enough", {no_limit, 1, {}}, {0, no_limit, ages}, Retention::age},
        Case{"old enough, but wanted", {no_limit, 1, Offset(199)}, {0, no_limit, ages}, Retention::kept_for_consumer},
        Case{
            "old enough, wanted long ago", {no_limit, 1, Offset(0)}, {0, no_limit, ages}, Retention::kept_for_consumer},
        Case{"old enough, and read", {no_limit, 1, Offset(200)}, {0, no_limit, ages}, Retention::age},
        Case{"wanted, and not old enough", {no_limit, 1, Offset(0)}, {0, no_limit, WallTime{50}}, Retention::kept}));

// Ten segments of ten events and ten bytes, each recorded up to the time that is its last event's offset.
std::vector<SegmentFacts> ten() {
  std::vector<SegmentFacts> sealed;
  for (std::uint64_t i = 0; i < 10; ++i) {
    sealed.push_back({{Offset(10 * i), SegmentNumber(i + 1)},
                      Offset(10 * i + 10),
                      WallTime{static_cast<std::int64_t>(10 * i + 9)},
                      10});
  }
  return sealed;
}
std::size_t deleted(const RetentionFacts& facts, const RetentionLimits& limits) {
  const auto verdicts = judge_all(ten(), facts, limits);
  EXPECT_EQ(verdicts.size(), 10u);
  std::size_t count = 0;
  while (count < verdicts.size() && is_deleted(verdicts[count])) ++count;
  for (std::size_t i = count; i < verdicts.size(); ++i) EXPECT_FALSE(is_deleted(verdicts[i])) << "a hole at " << i;
  return count;
}

TEST(RetentionOfALog, DeletesFromTheOldestAsManyAsAreNeeded) {
  EXPECT_EQ(deleted({no_limit, 110, {}}, {}), 0u);
  EXPECT_EQ(deleted({3, 110, {}}, {25}), 3u) << "22 are missing";
  EXPECT_EQ(deleted({no_limit, 110, {}}, {0, 85}), 3u);
  EXPECT_EQ(deleted({no_limit, 110, {}}, {0, 1}), 10u);
  EXPECT_EQ(deleted({no_limit, 110, {}}, {0, no_limit, WallTime{40}}), 4u);
  EXPECT_EQ(deleted({no_limit, 110, Offset(25)}, {0, no_limit, WallTime{40}}), 2u);
  EXPECT_EQ(deleted({no_limit, 110, Offset(25)}, {0, 70, WallTime{40}}), 4u) << "bytes whoever wants them";
  const auto verdicts = judge_all(ten(), {no_limit, 110, Offset(25)}, {0, no_limit, WallTime{40}});
  EXPECT_EQ(verdicts[1], Retention::age);
  EXPECT_EQ(verdicts[2], Retention::kept_for_consumer);
  EXPECT_EQ(verdicts[4], Retention::kept);
  EXPECT_EQ(usual_floor(100ull << 30), 1ull << 30);
  EXPECT_EQ(usual_floor(10ull << 30), (10ull << 30) / 50);
  EXPECT_EQ(usual_floor(no_limit), 0u) << "where it cannot be told";
}

TEST(RetentionOfALog, WarnsOfWhatWillBeDeletedByForce) {
  const auto sealed = ten();
  const Offset open(100);
  EXPECT_EQ(overrun_edges(sealed, open, 5, {}, {}), OverrunEdges{});
  EXPECT_EQ(overrun_edges(sealed, open, 5, {}, {0, 1000}), OverrunEdges{}) << "far from full";
  // 80 and 60 of 100 bytes, the open segment's 5 included.
  EXPECT_EQ(overrun_edges(sealed, open, 5, {}, {0, 100}), (OverrunEdges{Offset(30), Offset(50)}));
  EXPECT_EQ(overrun_edges(sealed, open, 5, {}, {0, 5}), (OverrunEdges{open, open}));
  EXPECT_EQ(overrun_edges(sealed, open, 5, {200, 105, {}}, {100}), OverrunEdges{}) << "twice the floor is free";
  EXPECT_EQ(overrun_edges(sealed, open, 5, {199, 105, {}}, {100}), (OverrunEdges{Offset(40), Offset(50)}));
  EXPECT_EQ(overrun_edges({}, open, 5, {0, 5, {}}, {100}), OverrunEdges{}) << "there is nothing to delete";
}

// It is time `now`, and what is 100 ns old is deleted: segment i is once that is more than 10 i + 109.
struct AgeCase {
  const char* what;
  std::int64_t now;
  std::optional<Offset> needed;
  OverrunEdges edges;
};
class RetentionByAge : public ::testing::TestWithParam<AgeCase> {};

TEST_P(RetentionByAge, WarnsOfWhatNoConsumerHoldsBack) {
  const AgeCase& c = GetParam();
  RetentionLimits limits;
  limits.oldest = WallTime{c.now - 100};
  limits.age = std::chrono::nanoseconds(100);
  EXPECT_EQ(overrun_edges(ten(), Offset(100), 5, {no_limit, 105, c.needed}, limits), c.edges) << c.what;
}

INSTANTIATE_TEST_SUITE_P(
    All, RetentionByAge,
    ::testing::Values(AgeCase{"all is young", 69, {}, OverrunEdges{}},
                      AgeCase{"the oldest is 61 % of it", 70, {}, {Offset(0), Offset(10)}},
                      AgeCase{"the oldest is 80 % of it", 89, {}, {Offset(0), Offset(20)}},
                      AgeCase{"the oldest is more than that", 90, {}, {Offset(10), Offset(30)}},
                      AgeCase{"the oldest will be deleted just now", 110, {}, {Offset(30), Offset(50)}},
                      AgeCase{"all is old but what is being written", 1000, {}, {Offset(100), Offset(100)}},
                      AgeCase{"a consumer holds it back", 1000, Offset(0), OverrunEdges{}}));

TEST(RetentionOfALog, TheEarliestWarningCounts) {
  RetentionLimits limits{0, 100, WallTime{-10}, std::chrono::nanoseconds(100)};
  EXPECT_EQ(overrun_edges(ten(), Offset(100), 5, {}, limits), (OverrunEdges{Offset(30), Offset(50)})) << "bytes";
  limits.oldest = WallTime{40};
  EXPECT_EQ(overrun_edges(ten(), Offset(100), 5, {}, limits), (OverrunEdges{Offset(60), Offset(80)})) << "age";
}

TEST(OverrunAlarm, HasHysteresisAndTellsWhatIsGone) {
  using State = OverrunAlarm::State;
  OverrunAlarm alarm;
  const OverrunEdges edges{Offset(30), Offset(50)};
  EXPECT_EQ(alarm.look(Offset(30), Offset(10), edges), State::safe);
  EXPECT_EQ(alarm.look(Offset(29), Offset(10), edges), State::near);
  EXPECT_EQ(alarm.look(Offset(49), Offset(10), edges), State::near) << "still";
  EXPECT_EQ(alarm.look(Offset(50), Offset(10), edges), State::safe);
  EXPECT_EQ(alarm.look(Offset(49), Offset(10), edges), State::safe);
  EXPECT_EQ(alarm.look(Offset(9), Offset(10), edges), State::overrun);
  EXPECT_EQ(alarm.look(Offset(10), Offset(10), edges), State::near);
  EXPECT_EQ(alarm.look(Offset(10), Offset(10), {}), State::safe) << "nothing forces any more";
}

TEST(RetentionOfALog, IsWhatAWriterDoes) {
  FaultFileSystem files;
  auto writer = begin(files);
  std::int64_t time = 1;
  while (segment_paths(files).size() < 6) ASSERT_TRUE(add(*writer, 20, WallTime{++time}));
  const auto sealed = writer->sealed_facts();
  ASSERT_EQ(sealed.size(), 5u);
  EXPECT_EQ(sealed[1].end, sealed[2].name.first_offset);
  const auto take = [&](const RetentionLimits& limits, RetentionFacts facts) {
    std::size_t taken = 0;
    while (auto ticket = writer->take_deletion(limits, facts)) {
      EXPECT_TRUE(ticket->run());
      EXPECT_TRUE(writer->complete_deletion(*ticket, {}));
      if (facts.free_bytes != no_limit) facts.free_bytes += ticket->bytes();
      ++taken;
    }
    return taken;
  };
  const WallTime old{sealed[2].newest.ns + 1};
  EXPECT_EQ(take({0, no_limit, old}, {no_limit, 0, sealed[1].name.first_offset}), 1u) << "the second is still wanted";
  EXPECT_EQ(writer->first_offset(), sealed[1].name.first_offset);
  EXPECT_EQ(take({100'000}, {100'000, 0, {}}), 0u);
  EXPECT_EQ(take({100'000}, {80'000, 0, Offset(0)}), 1u) << "20,000 bytes are missing";
  EXPECT_EQ(take({0, no_limit, old}, {no_limit, 0, {}}), 1u);
  EXPECT_EQ(take({0, 2 * 32768}, {no_limit, 0, Offset(0)}), 1u);
  EXPECT_EQ(segment_paths(files).size(), 2u);
}

}  // namespace
}  // namespace millrace::wal
