// Proves that the times at which events are due are exact at every speed, do not drift, and go on where they stood
// after a pause and a change of speed.
#include "subscribers/historical/pacer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::historical {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr WallTime begin{1'772'357'400'000'000'000};
constexpr MonotonicTime now{1'000'000'000'000};

Speed speed(std::string_view text) {
  return parse_speed(text).value();
}

TEST(PacerTest, EachEventIsDueSoLongAfterTheFirstAsItWasRecordedDividedByTheSpeed) {
  const struct {
    const char* speed;
    std::chrono::nanoseconds recorded;
    std::chrono::nanoseconds due;
  } cases[] = {{"1", 60s, 60s},
               {"10", 60s, 6s},
               {"0.5x", 60s, 120s},
               {"0.001", 1ms, 1s},
               {"3", 10ns, 3ns},
               {"7", 24h, std::chrono::nanoseconds(24h) / 7},
               {"1", 24h * 3650, 24h * 3650},
               {"1000000", 1h, 3600us},
               {"max", 24h, 0s},
               {"0.125", 1s, 8s}};
  for (const auto& c : cases) {
    Pacer pacer(speed(c.speed));
    EXPECT_EQ(pacer.due(begin, now), now) << c.speed;
    EXPECT_EQ(pacer.due(begin + c.recorded, now), now + c.due) << c.speed;
  }
}

// Asked a million times, none of them in time.
TEST(PacerTest, NothingAddsUp) {
  Pacer pacer(speed("3"));
  for (std::int64_t i = 0; i < 1'000'000; ++i) {
    const MonotonicTime late{now.ns + i * 17};
    ASSERT_EQ(pacer.due({begin.ns + i * 100}, late), (MonotonicTime{now.ns + i * 100 / 3}));
  }
}

TEST(PacerTest, AfterAPauseItGoesOnWhereItStood) {
  Pacer pacer(speed("2"));
  ASSERT_EQ(pacer.due(begin, now), now);
  pacer.pause(now + 3s, begin + 10s);  // the recording is at 6 s
  pacer.resume(now + 100s);
  EXPECT_EQ(pacer.due(begin + 10s, now + 100s), now + 102s);
}

TEST(PacerTest, AChangeOfSpeedMovesNothingThatIsPast) {
  Pacer pacer(speed("1"));
  ASSERT_EQ(pacer.due(begin, now), now);
  pacer.change(speed("10"), now + 5s, begin + 15s);
  EXPECT_EQ(pacer.due(begin + 15s, now + 5s), now + 6s);
  pacer.change(as_fast_as_possible, now + 6s, begin + 20s);
  EXPECT_EQ(pacer.due(begin + 20s, now + 6s), now + 6s);
  pacer.change(speed("1"), now + 7s, begin + 60s);
  EXPECT_EQ(pacer.due(begin + 60s, now + 7s), now + 7s);
  EXPECT_EQ(pacer.due(begin + 61s, now + 7s), now + 8s);
}

TEST(PacerTest, ASpeedMayChangeDuringAPause) {
  Pacer pacer(speed("1"));
  ASSERT_EQ(pacer.due(begin, now), now);
  pacer.pause(now + 4s, begin + 8s);
  pacer.change(speed("2"), now + 50s, begin + 8s);
  pacer.resume(now + 100s);
  EXPECT_EQ(pacer.due(begin + 8s, now + 100s), now + 102s);
}

TEST(PacerTest, WhoWasTooSlowOwesNothingAfterAChange) {
  Pacer pacer(speed("10"));
  ASSERT_EQ(pacer.due(begin, now), now);
  pacer.change(speed("1"), now + 60s, begin + 100s);  // 600 s would have been due, 100 were handed over
  EXPECT_EQ(pacer.due(begin + 100s, now + 60s), now + 60s);
  EXPECT_EQ(pacer.due(begin + 103s, now + 60s), now + 63s);
}

TEST(SpeedTest, WhatIsNoSpeedIsRefusedByName) {
  EXPECT_EQ(parse_speed("max").value(), as_fast_as_possible);
  EXPECT_EQ(parse_speed("1x").value(), as_recorded);
  EXPECT_EQ(parse_speed("0.5").value(), Speed{500});
  for (const char* text :
       {"", "x", "0", "-1", "0.0001", "1.2345", "1,5", "fast", "1000001", "nan", "1.", ".5", "10 "}) {
    const auto refused = parse_speed(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_THAT(refused.error().message, HasSubstr("'" + std::string(text) + "'"));
  }
}

}  // namespace
}  // namespace millrace::historical
