// Proves what a subscription is called: live, catching up, lagging or stalled, and when it stops being so.
#include "bus/daemon/consumer_health.hpp"

#include <gtest/gtest.h>

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using control::ConsumerState;

constexpr ConsumerLimits limits{.stalled_after = 2s, .lag = 100};

class Consumer {
 public:
  Consumer(Level level, std::uint64_t attached_at) : level_(level), end_(attached_at), health_(attached_at, now_) {}

  // Polls, and stands at `position` while the topic ends at `end`.
  ConsumerState polls(std::uint64_t position, std::uint64_t end) {
    ++progress_;
    position_ = position;
    return sees(end);
  }
  // Does nothing for `time`, looked at every 50 ms, while the topic ends at `end`.
  ConsumerState rests(std::chrono::nanoseconds time, std::uint64_t end) {
    for (; time > 0ns; time -= 50ms) {
      now_ = now_ + 50ms;
      sees(end);
    }
    return health_.state();
  }
  ConsumerHealth& health() { return health_; }
  [[nodiscard]] MonotonicTime now() const { return now_; }

 private:
  ConsumerState sees(std::uint64_t end) {
    end_ = end;
    health_.look({level_, progress_, position_, end_}, limits, now_);
    return health_.state();
  }

  MonotonicTime now_{1'000'000'000};
  Level level_;
  std::uint64_t progress_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t end_;
  ConsumerHealth health_;
};

TEST(ConsumerHealth, OneThatReadsWhatComesIsLive) {
  Consumer consumer(Level::recorded, 500);
  EXPECT_EQ(consumer.polls(500, 500), ConsumerState::live);
  EXPECT_EQ(consumer.polls(510, 560), ConsumerState::live);
  EXPECT_EQ(consumer.health().lag(), 50u);
  EXPECT_EQ(consumer.health().reason(limits, consumer.now()), "");
}

TEST(ConsumerHealth, OneThatStartsInTheLogCatchesUpUntilItReachedWhatThereWas) {
  Consumer consumer(Level::recorded, 10'000);
  EXPECT_EQ(consumer.polls(0, 10'000), ConsumerState::catching_up) << "though far above the limit";
  EXPECT_EQ(consumer.polls(9'999, 10'050), ConsumerState::catching_up);
  EXPECT_EQ(consumer.polls(10'000, 10'050), ConsumerState::live);
}

TEST(ConsumerHealth, AReplayOfABusyTopicGoesOnWhileItComesNearer) {
  Consumer consumer(Level::recorded, 10'000);
  EXPECT_EQ(consumer.polls(0, 10'000), ConsumerState::catching_up);
  EXPECT_EQ(consumer.polls(10'000, 14'000), ConsumerState::catching_up);
  EXPECT_EQ(consumer.polls(14'000, 15'000), ConsumerState::catching_up);
  EXPECT_EQ(consumer.polls(15'000, 15'090), ConsumerState::live);
}

TEST(ConsumerHealth, AReplayThatComesNoNearerLags) {
  Consumer loses(Level::recorded, 10'000);
  EXPECT_EQ(loses.polls(0, 10'000), ConsumerState::catching_up);
  EXPECT_EQ(loses.polls(5'000, 15'100), ConsumerState::catching_up) << "a limit behind where it began, not more";
  EXPECT_EQ(loses.polls(5'000, 15'101), ConsumerState::lagging);
  Consumer keeps(Level::recorded, 10'000);
  EXPECT_EQ(keeps.polls(0, 10'000), ConsumerState::catching_up);
  EXPECT_EQ(keeps.polls(10'000, 20'000), ConsumerState::lagging);
}

TEST(ConsumerHealth, LaggingBeginsAboveTheLimitAndEndsAtHalfOfIt) {
  Consumer consumer(Level::recorded, 0);
  EXPECT_EQ(consumer.polls(0, 100), ConsumerState::live);
  EXPECT_EQ(consumer.polls(0, 101), ConsumerState::lagging);
  EXPECT_EQ(consumer.health().reason(limits, consumer.now()), "101 events behind; the limit is 100");
  EXPECT_EQ(consumer.polls(50, 101), ConsumerState::lagging) << "51 behind";
  EXPECT_EQ(consumer.polls(51, 101), ConsumerState::live);
  EXPECT_EQ(consumer.polls(51, 151), ConsumerState::live) << "up to the limit again";
}

TEST(ConsumerHealth, OneThatDoesNothingIsStalledOnlyIfThereIsSomethingToRead) {
  Consumer consumer(Level::recorded, 0);
  EXPECT_EQ(consumer.polls(10, 10), ConsumerState::live);
  EXPECT_EQ(consumer.rests(1h, 10), ConsumerState::live) << "all is read";
  EXPECT_EQ(consumer.rests(2s, 11), ConsumerState::live) << "its time begins with the event";
  EXPECT_EQ(consumer.rests(100ms, 11), ConsumerState::stalled);
  EXPECT_EQ(consumer.polls(11, 11), ConsumerState::live);
}

TEST(ConsumerHealth, OneThatPollsAtLevelLiveIsNotStalledByWhatItCannotShow) {
  Consumer consumer(Level::live, 500);
  EXPECT_EQ(consumer.polls(0, 600), ConsumerState::live);
  EXPECT_EQ(consumer.health().lag(), 0u);
  EXPECT_EQ(consumer.rests(1h, 600), ConsumerState::live) << "nothing came since it polled";
  EXPECT_EQ(consumer.rests(2100ms, 601), ConsumerState::stalled);
  EXPECT_EQ(consumer.polls(0, 601), ConsumerState::live);
}

TEST(ConsumerHealth, OneThatNeverPolledIsUnknownUntilItMissesSomething) {
  Consumer consumer(Level::recorded, 500);
  EXPECT_EQ(consumer.rests(1h, 500), ConsumerState::none);
  EXPECT_EQ(consumer.rests(2100ms, 501), ConsumerState::stalled);
}

TEST(ConsumerHealth, AStalledOneThatLaggedStillLagsWhenItGoesOn) {
  Consumer consumer(Level::recorded, 0);
  EXPECT_EQ(consumer.polls(10, 200), ConsumerState::lagging);
  EXPECT_EQ(consumer.rests(3s, 200), ConsumerState::stalled);
  EXPECT_EQ(consumer.polls(120, 200), ConsumerState::lagging) << "80 behind: not yet half";
}

TEST(ConsumerHealth, TimeInWhichNobodyLookedIsNotHeldAgainstIt) {
  Consumer consumer(Level::recorded, 0);
  EXPECT_EQ(consumer.polls(10, 11), ConsumerState::live);
  EXPECT_EQ(consumer.rests(1900ms, 11), ConsumerState::live);
  consumer.health().restart(consumer.now());
  EXPECT_EQ(consumer.rests(1900ms, 11), ConsumerState::live);
  EXPECT_EQ(consumer.rests(200ms, 11), ConsumerState::stalled);
}

}  // namespace
}  // namespace millrace::daemon
