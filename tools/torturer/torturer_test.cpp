// Proves what a torture run stands on: journals survive half a record, runs join what belongs together, a seed gives
// one schedule, and a stall is laid at the right door.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include "tools/torturer/intervals.hpp"
#include "tools/torturer/journal.hpp"
#include "tools/torturer/schedule.hpp"
#include "tools/torturer/stalls.hpp"

namespace millrace::torture {
namespace {

using namespace std::chrono_literals;

class JournalFile : public ::testing::Test {
 protected:
  ~JournalFile() override { std::filesystem::remove(path_); }
  std::string path_ = ::testing::TempDir() + "millrace-journal-" + std::to_string(::getpid());
};

TEST_F(JournalFile, WhatWasFlushedIsReadAgainAndHalfARecordIsCutOff) {
  {
    auto journal = Journal::open(path_);
    ASSERT_TRUE(journal) << journal.error().message;
    journal->add({Kind::seen, 1, 2, 3, 4, 5, 6, 0});
    journal->add({Kind::seen, 1, 2, 3, 10, 11, 6, 0});
    ASSERT_TRUE(journal->flush());
    journal->add({Kind::seen, 1, 2, 3, 16, 17, 6, 0});  // its process dies before it is written
  }
  std::filesystem::resize_file(path_, 2 * sizeof(Record) - 5);
  auto again = Journal::open(path_);
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->found().size(), 1u);
  EXPECT_EQ(again->found()[0].sequence, 4u);
  again->add({Kind::finished, 0, 0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(again->flush());
  const auto records = read_journal(path_);
  ASSERT_TRUE(records) << records.error().message;
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ(records->back().kind, Kind::finished);
}

TEST_F(JournalFile, ARecordThatWasNotWrittenSoIsAnErrorNotEvidence) {
  {
    auto journal = Journal::open(path_);
    ASSERT_TRUE(journal);
    journal->add({Kind::acknowledged, 0, 1, 1, 100, 0, 0, 0});
    ASSERT_TRUE(journal->flush());
  }
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offsetof(Record, sequence));
  file.put(1);
  file.close();
  const auto records = read_journal(path_);
  ASSERT_FALSE(records);
  EXPECT_EQ(records.error().code, ErrorCode::corrupt);
}

TEST(Runs, JoinOnlyWhatFollowsInSequenceAndOffsetAndLife) {
  Runs runs;
  EXPECT_FALSE(runs.add({0, 1, 1, 1, 10}));
  EXPECT_FALSE(runs.add({0, 1, 1, 2, 11}));
  const auto first = runs.add({0, 1, 1, 3, 13});
  ASSERT_TRUE(first) << "an offset is missing";
  EXPECT_EQ(first->count, 2u);
  EXPECT_TRUE(runs.add({0, 2, 4, 4, 14})) << "another life";
  EXPECT_TRUE(runs.add({0, 2, 4, 6, 15})) << "a sequence is missing";
  EXPECT_EQ(runs.take()->sequence, 6u);
  EXPECT_FALSE(runs.take());
}

TEST(Intervals, JoinSplitAndCount) {
  Intervals set;
  set.add(10, 20);
  set.add(30, 40);
  set.add(20, 30);
  EXPECT_EQ(set.size(), 30u);
  EXPECT_EQ(set.remove(15, 35), 20u);
  EXPECT_EQ(set.count(0, 100), 10u);
  EXPECT_EQ(set.count(12, 36), 4u);
  EXPECT_EQ(set.remove(15, 35), 0u);
}

TEST(Schedule, ComesFromItsSeedAndHasEveryKindOfDeath) {
  const auto schedule = make_schedule(7, 30, {}, {});
  EXPECT_EQ(schedule, make_schedule(7, 30, {}, {}));
  EXPECT_NE(schedule, make_schedule(8, 30, {}, {}));
  std::map<std::pair<bool, Victim>, int> counts;
  for (const Action& action : schedule) ++counts[{action.stop, action.victim}];
  int kills = 0;
  for (std::size_t victim = 0; victim < victim_count; ++victim) {
    EXPECT_GT((counts[{false, static_cast<Victim>(victim)}]), 1) << to_string(static_cast<Victim>(victim));
    kills += counts[{false, static_cast<Victim>(victim)}];
  }
  EXPECT_EQ(kills, 30);
  for (const Victim victim : {Victim::publisher, Victim::subscriber, Victim::gateway, Victim::core}) {
    EXPECT_EQ((counts[{true, victim}]), 1) << to_string(victim);
  }
}

TEST(Schedule, LeavesTheCoreAloneAtTheEnd) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto schedule = make_schedule(seed, 100, {}, {});
    std::size_t kills = 0;
    for (const Action& action : schedule) {
      const bool kill_of_core = action.victim == Victim::core && !action.stop;
      EXPECT_TRUE(!kill_of_core || kills < 67) << "seed " << seed;
      kills += action.stop ? 0 : 1;
    }
    EXPECT_EQ(kills, 100u);
  }
}

constexpr MonotonicTime at(std::chrono::nanoseconds time) {
  return MonotonicTime{1'000'000'000} + time;
}
Place place(Victim kind, std::uint32_t index, std::chrono::nanoseconds from, std::chrono::nanoseconds length,
            const char* level = "") {
  return {kind,
          index,
          level,
          {{Kind::stall, 0, 0, static_cast<std::uint64_t>(at(from).ns), 0, 0,
            static_cast<std::uint64_t>(length.count()), 0}}};
}
const Span quiet{at(0s), at(3s)};

TEST(Stalls, BeforeTheFirstKillOrFarFromAnyAreNobodysDoing) {
  const std::vector<Incident> incidents{{Victim::gateway, 0, false, at(5s), at(5s)}};
  const auto report = report_stalls({place(Victim::publisher, 0, 1s, 7ms), place(Victim::publisher, 1, 4s, 9ms),
                                     place(Victim::publisher, 2, 6s, 8ms)},
                                    incidents, quiet);
  EXPECT_EQ(report.quiet.publisher, 7ms);
  EXPECT_EQ(report.alone.publisher, 9ms);
  EXPECT_EQ(report.after_death(), 0ms);
}

TEST(Stalls, AreLaidToTheDeathJustBeforeThemOrWithinThem) {
  const std::vector<Incident> incidents{{Victim::publisher, 1, false, at(5s), at(5s)}};
  for (const auto from : {4990ms, 5000ms, 5090ms}) {
    const auto report = report_stalls({place(Victim::publisher, 0, from, 60ms)}, incidents, quiet);
    EXPECT_EQ(report.after_death(), 60ms) << from.count();
  }
  const auto own = report_stalls({place(Victim::publisher, 1, 5s, 60ms)}, incidents, quiet);
  EXPECT_EQ(own.after_death(), 0ms) << "the dead do not stall";
  const auto synced = report_stalls({place(Victim::subscriber, 2, 5s, 60ms, "synced")}, incidents, quiet);
  EXPECT_EQ(synced.after_death(), 0ms) << "it waits for the disk";
  EXPECT_EQ(synced.after.at({false, Victim::publisher}).synced, 60ms);
}

TEST(Stalls, AfterTheCoresDeathCountUntilAllFlowsAgain) {
  std::vector<Incident> incidents{{Victim::publisher, 1, false, at(4990ms), at(4990ms)},
                                  {Victim::core, 0, false, at(5s), at(5s)}};
  const std::vector<Place> places{place(Victim::publisher, 0, 4995ms, 305ms),
                                  place(Victim::subscriber, 0, 5s, 400ms, "live"),
                                  place(Victim::websocket, 0, 4900ms, 700ms)};
  auto report = report_stalls(places, incidents, quiet);
  EXPECT_EQ(report.after_death(), 0ms) << "the core's death stops more than the publisher's";
  EXPECT_EQ(report.core_back, 400ms);
  EXPECT_EQ(report.websocket_back, 600ms);
  incidents.push_back({Victim::core, 0, false, at(5100ms), at(5100ms)});
  report = report_stalls(places, incidents, quiet);
  EXPECT_EQ(report.core_back, 0ms) << "two deaths in one stall tell nothing about either";
}

TEST(Stalls, TheTextSaysWhichLimitsWereKept) {
  StallReport report;
  EXPECT_EQ(report.text().find("NOT KEPT"), std::string::npos);
  report.after[{false, Victim::gateway}].subscriber = 51ms;
  EXPECT_NE(report.text().find("gateway: 51.0 ms, limit 50 ms: NOT KEPT"), std::string::npos) << report.text();
  report.after.clear();
  report.core_back = 2001ms;
  EXPECT_NE(report.text().find("limit 2000 ms: NOT KEPT"), std::string::npos) << report.text();
}

}  // namespace
}  // namespace millrace::torture
