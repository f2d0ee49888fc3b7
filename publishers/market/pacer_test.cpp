// Proves that events are due exactly when the pace says, on a clock moved by hand.
#include "publishers/market/pacer.hpp"

#include <gtest/gtest.h>

namespace millrace::market {
namespace {

using std::chrono::nanoseconds;

constexpr std::int64_t day_ns = 86'400'000'000'000;

// When each recorded time is due after the start, with the clock advancing past each.
std::vector<std::int64_t> due_after(Pace pace, const std::vector<std::int64_t>& recorded) {
  ManualClock clock;
  clock.advance(nanoseconds(12'345));
  const auto start = clock.monotonic();
  Pacer pacer(pace);
  std::vector<std::int64_t> due;
  for (const auto ns : recorded) {
    const auto at = pacer.due({1'700'000'000'000'000'000 + ns}, clock.monotonic());
    due.push_back((at - start).count());
    if (at > clock.monotonic()) clock.advance(at - clock.monotonic());
  }
  return due;
}

TEST(Pacer, AtRecordedPaceTheDistancesAreThoseOfTheRecording) {
  EXPECT_EQ(due_after(kAsRecorded, {0, 1, 999, 5'000'000'000, day_ns}),
            (std::vector<std::int64_t>{0, 1, 999, 5'000'000'000, day_ns}));
}

TEST(Pacer, TenTimesAsFastIsATenthOfEachDistanceFromTheStart) {
  // From the start, not from event to event: cutting off does not add up.
  EXPECT_EQ(due_after(Pace{10'000}, {0, 9, 10, 19, 20, day_ns}),
            (std::vector<std::int64_t>{0, 0, 1, 1, 2, day_ns / 10}));
}

TEST(Pacer, HalfAsFastIsTwiceEachDistance) {
  EXPECT_EQ(due_after(Pace{500}, {0, 7, day_ns}), (std::vector<std::int64_t>{0, 14, 2 * day_ns}));
}

TEST(Pacer, WhatWasRecordedLateIsNotDueBeforeItsPredecessor) {
  EXPECT_EQ(due_after(kAsRecorded, {0, 100, 50, 120}), (std::vector<std::int64_t>{0, 100, 100, 120}));
}

TEST(Pacer, ASlowSenderIsNotSlowedFurther) {
  ManualClock clock;
  Pacer pacer(kAsRecorded);
  const auto start = pacer.due({1'000}, clock.monotonic());
  clock.advance(nanoseconds(500));
  EXPECT_EQ(pacer.due({1'100}, clock.monotonic()), start + nanoseconds(100));  // overdue: send at once
}

TEST(Pacer, FlatOutEverythingIsDueNow) {
  ManualClock clock;
  Pacer pacer(kFlatOut);
  for (const std::int64_t recorded : {5, 1'000'000, 3}) {
    EXPECT_EQ(pacer.due({recorded}, clock.monotonic()), clock.monotonic());
    clock.advance(nanoseconds(1));
  }
}

TEST(Pacer, PacesAreReadFromText) {
  EXPECT_EQ(parse_pace("flat_out").value(), kFlatOut);
  EXPECT_EQ(parse_pace("recorded").value(), kAsRecorded);
  EXPECT_EQ(parse_pace("1x").value(), kAsRecorded);
  EXPECT_EQ(parse_pace("10x").value(), Pace{10'000});
  EXPECT_EQ(parse_pace("0.5x").value(), Pace{500});
  for (const auto* text : {"", "x", "10", "0x", "-1x", "fast", "1.0001x", "1000001x"}) {
    EXPECT_FALSE(parse_pace(text)) << text;
  }
}

}  // namespace
}  // namespace millrace::market
