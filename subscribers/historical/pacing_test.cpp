// Proves that a replay keeps its speed, pauses, steps and jumps, by a clock that only the test moves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "subscribers/historical/replay.hpp"
#include "subscribers/historical/testing/trade_log.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using namespace std::chrono_literals;
using testing::at;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::offsets;
using testing::run;
using testing::take;
using testing::TradeLog;

class PacingTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<Replay> open(Speed speed, From from = StartEarliest{}, bool paused = false) {
    auto replay = Replay::open({{.log = log_.log(), .from = std::move(from)}},
                               {.speed = speed, .paused = paused, .clock = &clock_});
    EXPECT_TRUE(replay) << replay.error().message;
    return std::move(*replay);
  }
  // Moves on to when the next event is due, as a caller would who sleeps until then.
  void wait(const Replay& replay) {
    ASSERT_TRUE(replay.due());
    ASSERT_GT(*replay.due(), clock_.monotonic());
    clock_.advance(*replay.due() - clock_.monotonic());
  }

  wal::FaultFileSystem disk_;
  TradeLog log_{disk_, "/trades", wal::testing::small_segments(1 << 20)};
  ManualClock clock_;
};

TEST_F(PacingTest, AMinuteOfRecordedTimeTakesAMinuteDividedByTheSpeed) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> spread(0.0, 60.0);
  std::vector<double> times{0.0, 60.0};
  for (int i = 0; i < 2'000; ++i) times.push_back(spread(random));
  std::sort(times.begin(), times.end());
  for (const double time : times) log_.add(at(time), {"MILL"});
  for (const auto speed : {Speed{1'000}, Speed{10'000}, Speed{500}}) {
    const auto replay = open(speed);
    const MonotonicTime begin = clock_.monotonic();
    double worst = 0;
    std::size_t seen = 0;
    while (!replay->ended()) {
      const auto work = replay->poll([&](const Event& event, std::size_t) {
        const double wanted =
            static_cast<double>((event.record_time - at(0)).count()) * 1e3 / static_cast<double>(speed.thousandths);
        const auto was = static_cast<double>((clock_.monotonic() - begin).count());
        worst = std::max(worst, std::abs(was - wanted));
        ++seen;
      });
      if (work > 0 || replay->ended()) continue;
      ASSERT_NO_FATAL_FAILURE(wait(*replay));
    }
    EXPECT_EQ(seen, times.size());
    EXPECT_LE(worst, 1.0) << "nanoseconds off, at any event";
    const double took = static_cast<double>((clock_.monotonic() - begin).count()) * 1e-9;
    EXPECT_NEAR(took, 60.0 * 1000 / static_cast<double>(speed.thousandths), 1e-6);
  }
}

// A caller who comes late, again and again, is not late in the end.
TEST_F(PacingTest, LatenessDoesNotAddUp) {
  log_.add_every(0, 0.01, 6'001);
  const auto replay = open(as_recorded);
  const MonotonicTime begin = clock_.monotonic();
  while (!replay->ended()) {
    if (replay->poll([](const Event&, std::size_t) {}) > 0 || replay->ended()) continue;
    ASSERT_NO_FATAL_FAILURE(wait(*replay));
    clock_.advance(3ms);
  }
  const double took = static_cast<double>((clock_.monotonic() - begin).count()) * 1e-9;
  EXPECT_NEAR(took, 60.0, 0.6);
  EXPECT_NEAR(took, 60.0, 0.0031);
}

TEST_F(PacingTest, NothingIsHandedOverBeforeItsTime) {
  log_.add_every(0, 1, 5);
  const auto replay = open(as_recorded);
  EXPECT_EQ(offsets(take(*replay)), run(0, 1));
  EXPECT_EQ(replay->due(), clock_.monotonic() + 1s);
  clock_.advance(999'999'999ns);
  EXPECT_THAT(take(*replay), IsEmpty());
  clock_.advance(1ns);
  EXPECT_EQ(offsets(take(*replay)), run(1, 2));
  clock_.advance(2s);
  EXPECT_EQ(offsets(take(*replay)), run(2, 4));
  EXPECT_FALSE(replay->ended());
}

TEST_F(PacingTest, APauseStopsTheRecordedTime) {
  log_.add_every(0, 1, 5);
  const auto replay = open(as_recorded);
  ASSERT_EQ(take(*replay).size(), 1u);
  clock_.advance(400ms);
  EXPECT_THAT(take(*replay), IsEmpty());
  replay->pause();
  EXPECT_TRUE(replay->paused());
  clock_.advance(1h);
  EXPECT_THAT(take(*replay), IsEmpty());
  EXPECT_FALSE(replay->due());
  replay->resume();
  EXPECT_THAT(take(*replay), IsEmpty());
  EXPECT_EQ(replay->due(), clock_.monotonic() + 600ms);
  clock_.advance(600ms);
  EXPECT_EQ(offsets(take(*replay)), run(1, 2));
}

TEST_F(PacingTest, MayBeginPaused) {
  log_.add_every(0, 1, 3);
  const auto replay = open(as_recorded, StartEarliest{}, true);
  EXPECT_THAT(take(*replay), IsEmpty());
  clock_.advance(10s);
  replay->resume();
  EXPECT_EQ(offsets(take(*replay)), run(0, 1));
  clock_.advance(1s);
  EXPECT_EQ(offsets(take(*replay)), run(1, 2));
}

TEST_F(PacingTest, AStepHandsOverSoManyAtOnceAndWaits) {
  log_.add(at(0), {"A", "B", "C"});
  log_.add_every(1, 1, 9);
  const auto replay = open(as_recorded);
  replay->step(2);
  EXPECT_EQ(offsets(take(*replay)), run(0, 2));
  EXPECT_TRUE(replay->paused());
  clock_.advance(1h);
  EXPECT_THAT(take(*replay), IsEmpty());
  replay->step(4);
  EXPECT_EQ(offsets(take(*replay, 3)), run(2, 5));
  EXPECT_EQ(offsets(take(*replay)), run(5, 6));  // recorded at 3 s
  replay->resume();
  EXPECT_THAT(take(*replay), IsEmpty());
  EXPECT_EQ(replay->due(), clock_.monotonic() + 1s);
}

TEST_F(PacingTest, AStepCountsWhatIsWanted) {
  log_.add(at(0), {"A", "B", "C", "B", "B"});
  const auto replay =
      Replay::open({{.log = log_.log(), .filters = {"instrument=B"}}}, {.paused = true, .clock = &clock_}).value();
  replay->step(2);
  EXPECT_THAT(offsets(take(*replay)), ElementsAre(1, 3));
}

TEST_F(PacingTest, TheSpeedMayChangeAnyTime) {
  log_.add_every(0, 1, 100);
  const auto replay = open(as_recorded);
  ASSERT_EQ(take(*replay).size(), 1u);
  clock_.advance(500ms);
  replay->set_speed({10'000});
  EXPECT_THAT(take(*replay), IsEmpty());
  EXPECT_EQ(replay->due(), clock_.monotonic() + 50ms);
  clock_.advance(150ms);
  EXPECT_EQ(offsets(take(*replay)), run(1, 3));
  replay->set_speed(as_fast_as_possible);
  EXPECT_EQ(offsets(take(*replay, 7)), run(3, 10));
  replay->set_speed(as_recorded);
  EXPECT_EQ(offsets(take(*replay)), run(10, 11));
  EXPECT_EQ(replay->due(), clock_.monotonic() + 1s);
}

TEST_F(PacingTest, BehindASeekTheNextEventIsDueAtOnceAndTheRestAfterIt) {
  log_.add_every(0, 1, 100);
  const auto replay = open(as_recorded);
  ASSERT_EQ(take(*replay).size(), 1u);
  ASSERT_TRUE(replay->seek(at(49.5)));
  EXPECT_EQ(offsets(take(*replay)), run(50, 51));
  EXPECT_EQ(replay->due(), clock_.monotonic() + 1s);
  ASSERT_TRUE(replay->seek(Offset(3)));
  EXPECT_EQ(offsets(take(*replay)), run(3, 4));
  clock_.advance(2s);
  EXPECT_EQ(offsets(take(*replay)), run(4, 6));
}

TEST_F(PacingTest, ASeekDuringAPauseStaysPaused) {
  log_.add_every(0, 1, 10);
  const auto replay = open(as_recorded);
  ASSERT_EQ(take(*replay).size(), 1u);
  replay->pause();
  ASSERT_TRUE(replay->seek(Offset(7)));
  EXPECT_THAT(take(*replay), IsEmpty());
  replay->step(1);
  EXPECT_EQ(offsets(take(*replay)), run(7, 8));
  replay->resume();
  EXPECT_THAT(take(*replay), IsEmpty());
  EXPECT_EQ(replay->due(), clock_.monotonic() + 1s);
}

}  // namespace
}  // namespace millrace::historical
