// Proves that the breaker waits longer and longer up to its cap, lets one try through at a time, and forgets on
// success.
#include "subscribers/delayed/postgres/breaker.hpp"

#include <gtest/gtest.h>

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;

TEST(Breaker, LetsAllThroughUntilAFailure) {
  ManualClock clock;
  Breaker breaker({});
  EXPECT_TRUE(breaker.allows(clock.monotonic()));
  breaker.succeeded();
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  breaker.failed(clock.monotonic());
  EXPECT_EQ(breaker.state(), BreakerState::open);
  EXPECT_FALSE(breaker.allows(clock.monotonic()));
  EXPECT_EQ(breaker.opened(), 1U);
}

TEST(Breaker, DoublesItsWaitUpToTheCapAndBeginsAnewAfterASuccess) {
  ManualClock clock;
  Breaker breaker({.first_wait = 100ms, .longest_wait = 1s, .jitter = 0});
  for (const auto wait : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    breaker.failed(clock.monotonic());
    EXPECT_EQ(breaker.due() - clock.monotonic(), wait);
    clock.advance(wait - 1ns);
    EXPECT_FALSE(breaker.allows(clock.monotonic()));
    clock.advance(1ns);
    EXPECT_TRUE(breaker.allows(clock.monotonic()));
    EXPECT_EQ(breaker.state(), BreakerState::half_open);
  }
  EXPECT_EQ(breaker.opened(), 1U) << "it was never closed between";
  breaker.succeeded();
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  breaker.failed(clock.monotonic());
  EXPECT_EQ(breaker.due() - clock.monotonic(), 100ms);
  EXPECT_EQ(breaker.opened(), 2U);
}

TEST(Breaker, CutsEachWaitByARandomPartOfWhichTheSeedDecides) {
  const auto waits = [](std::uint64_t seed) {
    ManualClock clock;
    Breaker breaker({.first_wait = 1s, .longest_wait = 1s, .jitter = 0.25, .seed = seed});
    std::vector<std::int64_t> all;
    for (int i = 0; i < 100; ++i) {
      breaker.failed(clock.monotonic());
      all.push_back((breaker.due() - clock.monotonic()).count());
      EXPECT_GE(all.back(), 750'000'000);
      EXPECT_LE(all.back(), 1'000'000'000);
    }
    return all;
  };
  EXPECT_EQ(waits(1), waits(1));
  EXPECT_NE(waits(1), waits(2));
}

}  // namespace
}  // namespace millrace::delayed::postgres
