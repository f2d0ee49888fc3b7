// Proves that the judge of a torture run sees what is wrong: sound journals are clean, and each doctored one is not.
#include "tools/torturer/judge.hpp"

#include <gtest/gtest.h>

namespace millrace::torture {
namespace {

Record seen(std::uint32_t slot, std::uint64_t life, std::uint64_t base, std::uint64_t sequence, std::uint64_t offset,
            std::uint64_t count) {
  return {Kind::seen, slot, life, base, sequence, offset, count, 0};
}
Record live(std::uint32_t slot, std::uint64_t life, std::uint64_t base, std::uint64_t sequence, std::uint64_t count) {
  return seen(slot, life, base, sequence, 0, count);
}
Record told(std::uint32_t slot, std::uint64_t sequence, std::uint64_t count) {
  return {Kind::gap, slot, 0, 0, sequence, 0, count, 0};
}
Record acknowledged(std::uint32_t slot, std::uint64_t life, std::uint64_t base, std::uint64_t sequence) {
  return {Kind::acknowledged, slot, life, base, sequence, 0, 0, 0};
}
constexpr Record started{Kind::started, 0, 1, 0, 0, 0, 0, 0};

// Publisher 0 in two lives (1 to 100, 101 to 150), publisher 1 in one (1 to 50); offsets 0 to 199.
Evidence sound() {
  Evidence evidence;
  evidence.log = {seen(0, 1, 1, 1, 0, 60), seen(1, 1, 1, 1, 60, 50), seen(0, 1, 1, 61, 110, 40),
                  seen(0, 2, 101, 101, 150, 50)};
  evidence.publishers[0] = {acknowledged(0, 1, 1, 30), acknowledged(0, 1, 1, 90), acknowledged(0, 2, 101, 150)};
  evidence.publishers[1] = {acknowledged(1, 1, 1, 50)};
  evidence.followers["recorded"] = {started,
                                    seen(0, 1, 1, 1, 0, 60),
                                    seen(1, 1, 1, 1, 60, 10),
                                    started,
                                    seen(1, 1, 1, 11, 70, 40),
                                    seen(0, 1, 1, 61, 110, 40),
                                    seen(0, 2, 101, 101, 150, 50)};
  evidence.live["live"] = {started, live(0, 1, 1, 21, 40), live(1, 1, 1, 1, 50),    live(0, 1, 1, 61, 20),
                           started, live(0, 1, 1, 91, 10), live(0, 2, 101, 101, 50)};
  return evidence;
}

TEST(Judge, ASoundRunIsClean) {
  const Verdict verdict = judge(sound());
  EXPECT_TRUE(verdict.clean()) << verdict.notes.front();
  EXPECT_EQ(verdict.acknowledged, 90u + 50u + 50u);
  EXPECT_EQ(verdict.seen, 200u + 170u);
}

TEST(Judge, AnAcknowledgedEventThatTheLogHasNotIsLost) {
  Evidence evidence = sound();
  evidence.publishers[0].push_back(acknowledged(0, 2, 101, 153));
  EXPECT_EQ(judge(evidence).lost, 3u);
}

TEST(Judge, AnAcknowledgedEventWhoseSequenceALaterLifeTookIsLost) {
  Evidence evidence = sound();
  evidence.publishers[0][1] = acknowledged(0, 1, 1, 104);
  const Verdict verdict = judge(evidence);
  EXPECT_EQ(verdict.lost, 4u) << "the log has these sequences, by another life";
}

TEST(Judge, AHoleInTheLogIsLostEvenIfNobodyWasToldOfIt) {
  Evidence evidence = sound();
  evidence.publishers.clear();
  evidence.followers.clear();
  evidence.live.clear();
  evidence.log[3] = seen(0, 2, 101, 106, 150, 45);
  EXPECT_EQ(judge(evidence).lost, 5u);
}

TEST(Judge, AnEventTwiceInTheLogIsDuplicated) {
  Evidence evidence = sound();
  evidence.log.push_back(seen(0, 2, 101, 141, 200, 10));
  evidence.followers["recorded"].push_back(seen(0, 2, 101, 141, 200, 10));
  const Verdict verdict = judge(evidence);
  EXPECT_EQ(verdict.duplicated, 10u);
  EXPECT_EQ(verdict.lost, 0u);
}

TEST(Judge, EventsOfOnePublisherInAnotherOrderInTheLogAreReordered) {
  Evidence evidence = sound();
  evidence.followers.clear();
  evidence.log = {seen(0, 1, 1, 61, 0, 40), seen(0, 1, 1, 1, 40, 60), seen(1, 1, 1, 1, 100, 50),
                  seen(0, 2, 101, 101, 150, 50)};
  const Verdict verdict = judge(evidence);
  EXPECT_EQ(verdict.reordered, 60u);
  EXPECT_EQ(verdict.lost + verdict.duplicated, 0u);
}

TEST(Judge, AnEarlierLifeBehindALaterOneIsReordered) {
  Evidence evidence = sound();
  evidence.log[0].life = 3;
  EXPECT_GT(judge(evidence).reordered, 0u) << "a fenced process wrote after its heir";
}

TEST(Judge, WhatAFollowerNeverSawIsLostToIt) {
  Evidence evidence = sound();
  auto& records = evidence.followers["recorded"];
  records.pop_back();
  EXPECT_EQ(judge(evidence).lost, 50u) << "the tail";
  records = sound().followers["recorded"];
  records.erase(records.begin() + 2);
  EXPECT_EQ(judge(evidence).lost, 10u) << "in the middle";
}

TEST(Judge, WhatAFollowerSawTwiceIsDuplicated) {
  Evidence evidence = sound();
  auto& records = evidence.followers["recorded"];
  records[4] = seen(1, 1, 1, 6, 65, 45);  // resumed five too early
  EXPECT_EQ(judge(evidence).duplicated, 5u);
}

TEST(Judge, WhatAFollowerSawLateIsReordered) {
  Evidence evidence = sound();
  auto& records = evidence.followers["recorded"];
  std::swap(records[1], records[2]);
  EXPECT_EQ(judge(evidence).reordered, 60u);
}

TEST(Judge, WhatAFollowerSawAtAnotherOffsetThanTheLogHasItIsDamaged) {
  Evidence evidence = sound();
  evidence.followers["recorded"][1].sequence = 2;
  EXPECT_EQ(judge(evidence).damaged, 60u);
}

TEST(Judge, AnEventThatNoPublisherWroteIsDamagedWhereverItShows) {
  Evidence evidence = sound();
  evidence.log.push_back({Kind::damaged, 0, 0, 0, 151, 200, 1, 0});
  EXPECT_EQ(judge(evidence).damaged, 1u);
  evidence = sound();
  evidence.live["live"].push_back({Kind::damaged, 0, 0, 0, 9, 0, 1, 0});
  EXPECT_EQ(judge(evidence).damaged, 1u);
}

TEST(Judge, ALiveReadersGapIsExcusedOnlyIfItWasToldOfAllOfIt) {
  Evidence evidence = sound();
  auto& records = evidence.live["live"];
  records = {started, live(0, 1, 1, 21, 40), live(0, 1, 1, 81, 20)};
  EXPECT_EQ(judge(evidence).lost, 20u);
  records.insert(records.begin() + 2, told(0, 61, 15));
  EXPECT_EQ(judge(evidence).lost, 5u);
  records[2] = told(0, 61, 20);
  EXPECT_EQ(judge(evidence).lost, 0u);
  EXPECT_EQ(judge(evidence).told, 20u);
}

TEST(Judge, ALiveReaderThatSeesEventsTwiceOrLateIsNotClean) {
  Evidence evidence = sound();
  evidence.live["live"] = {started, live(0, 1, 1, 21, 40), live(0, 1, 1, 51, 20)};
  EXPECT_EQ(judge(evidence).duplicated, 10u);
  evidence.live["live"] = {started, live(0, 1, 1, 1, 10), live(0, 1, 1, 21, 40), live(0, 1, 1, 11, 10)};
  EXPECT_EQ(judge(evidence).reordered, 10u);
}

TEST(Judge, WhatALiveReaderWasShownAndTheLogHasNotMustBeTakenBack) {
  Evidence evidence = sound();
  auto& records = evidence.live["live"];
  records = {started, live(0, 1, 1, 91, 10), live(0, 1, 1, 101, 7), live(0, 2, 101, 108, 43)};
  EXPECT_EQ(judge(evidence).damaged, 7u);
  records = {started, live(0, 1, 1, 91, 10), live(0, 1, 1, 101, 7), told(0, 101, 7), live(0, 2, 101, 101, 50)};
  const Verdict verdict = judge(evidence);
  EXPECT_TRUE(verdict.clean()) << verdict.notes.front();
}

}  // namespace
}  // namespace millrace::torture
