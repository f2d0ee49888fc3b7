// Proves that a manual clock moves only when told and both times together, that the system's monotonic time never goes
// back, and that a FastClock follows the clock it was given and never goes back either.
#include "bus/base/clock.hpp"

#include <gtest/gtest.h>

#include "bus/base/fast_clock.hpp"

namespace millrace {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(ManualClock, MovesBothTimesTogetherAndOnlyWhenTold) {
  ManualClock clock({1'000});
  const MonotonicTime begin = clock.monotonic();
  EXPECT_EQ(clock.wall(), WallTime{1'000});
  EXPECT_EQ(clock.monotonic(), begin);
  clock.advance(seconds(2));
  EXPECT_EQ(clock.wall(), WallTime{2'000'001'000});
  EXPECT_EQ(clock.monotonic() - begin, seconds(2));
}

TEST(Clock, TimesAddAndDifference) {
  EXPECT_EQ(WallTime{5} + nanoseconds(3), WallTime{8});
  EXPECT_EQ(MonotonicTime{5} - MonotonicTime{8}, nanoseconds(-3));
  EXPECT_LT(MonotonicTime{5}, MonotonicTime{8});
}

TEST(SystemClock, MonotonicTimeNeverGoesBack) {
  MonotonicTime last = system_clock().monotonic();
  for (int i = 0; i < 10'000; ++i) {
    const MonotonicTime now = system_clock().monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(FastClock, ReadsTheClockItWasGiven) {
  ManualClock manual({1'000});
  FastClock clock(manual);
  EXPECT_EQ(clock.now(), WallTime{1'000});
  manual.advance(nanoseconds(500));
  EXPECT_EQ(clock.now(), WallTime{1'500});
}

TEST(FastClock, StaysWhenItsClockGoesBack) {
  ManualClock manual({1'000});
  FastClock clock(manual);
  EXPECT_EQ(clock.now(), WallTime{1'000});
  manual.advance(nanoseconds(-400));
  EXPECT_EQ(clock.now(), WallTime{1'000});
  manual.advance(nanoseconds(401));
  EXPECT_EQ(clock.now(), WallTime{1'001});
}

// Long enough that the processor's counter is set by the system clock again several times.
TEST(FastClock, NeverGoesBackOnTheSystemClock) {
  FastClock clock;
  const MonotonicTime begin = system_clock().monotonic();
  WallTime last = clock.now();
  while (system_clock().monotonic() - begin < std::chrono::milliseconds(40)) {
    const WallTime now = clock.now();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace millrace
