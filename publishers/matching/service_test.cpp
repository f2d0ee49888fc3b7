// Proves that what commands lead to goes out once, whole and in order, whatever the topics answer in between, and that
// the same orders give the same events.
#include "publishers/matching/service.hpp"

#include <gtest/gtest.h>

#include "bus/base/ids.hpp"
#include "publishers/matching/paced_flow.hpp"
#include "publishers/matching/random.hpp"
#include "publishers/matching/test_venue.hpp"

namespace millrace::matching {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Trades, order events and depth of `virtual_time` of the demo's flow, as JSON.
struct FlowRun {
  TestOutlet outlet;
  std::uint64_t commands = 0;
  std::uint64_t waited = 0;  // steps that ended with events waiting

  void flow(std::uint64_t seed, std::chrono::nanoseconds virtual_time) {
    ManualClock clock;
    auto venue = open_venue(demo_instruments());
    FlowSource source({.seed = seed, .commands_per_second = 2000}, clock);
    Service service(*venue, source, outlet);
    for (auto at = milliseconds(0); at < virtual_time; at += milliseconds(10)) {
      clock.advance(milliseconds(10));
      while (service.do_work(clock.monotonic()) > 0 || service.waiting() > 0) waited += service.waiting() > 0;
    }
    commands = service.commands();
  }
  std::uint64_t hash() const {
    std::string all;
    for (const auto& event : outlet.events) all += event + "\n";
    return key_of(all).value();
  }
};

TEST(Service, TheSameSeedGivesTheSameEventsByteForByte) {
  FlowRun run;
  run.flow(1, seconds(5));
  FlowRun other;
  other.flow(2, seconds(5));
  EXPECT_NEAR(static_cast<double>(run.commands), 10'000, 500);
  EXPECT_NE(run.hash(), other.hash());
  // When the flow, the engine or an event's fields change on purpose, take the new number.
  EXPECT_EQ(run.hash(), 1209443895430773079u);
}

TEST(Service, BackPressureChangesNothingOfWhatIsPublished) {
  FlowRun calm;
  calm.flow(3, seconds(2));
  FlowRun pressed;
  Random random(11);
  pressed.outlet.answer = [&random] {
    const auto dice = random.below(10);
    if (dice == 0) return PublishStatus::back_pressured;
    if (dice == 1) return PublishStatus::disconnected;
    return dice == 2 ? PublishStatus::refused : PublishStatus::ok;
  };
  pressed.flow(3, seconds(2));
  EXPECT_GT(pressed.waited, 1000u);
  EXPECT_EQ(pressed.commands, calm.commands);
  EXPECT_EQ(pressed.outlet.events, calm.outlet.events);
}

class ServiceTest : public ::testing::Test {
 protected:
  // Two crossing orders from a topic, and then none.
  class Orders final : public OrderSource {
   public:
    std::optional<SourcedOrder> next() override {
      if (at == 2) return std::nullopt;
      const Offset offset(40 + at);
      return SourcedOrder{&*orders[at++], {InputNumber(offset.value()), WallTime{1000}}, offset};
    }
    std::optional<Error> error() const override { return failed; }

    TestCommand orders[2] = {TestCommand::enter(schemas::Side::sell, 5, 100'00, "ann", 1),
                             TestCommand::enter(schemas::Side::buy, 5, 100'00, "bob", 2)};
    std::size_t at = 0;
    std::optional<Error> failed;
  };

  std::unique_ptr<Venue> venue_ = open_venue({mill_config()});
  Orders orders_;
  TestOutlet outlet_;
  Service service_{*venue_, orders_, outlet_};
};

TEST_F(ServiceTest, NamesTheOrderThatLedToAnEvent) {
  (void)service_.do_work({});
  using Causes = std::vector<std::optional<Offset>>;
  EXPECT_EQ(outlet_.causes, (Causes{std::nullopt, Offset(40), Offset(40), Offset(41), Offset(41), Offset(41)}));
  EXPECT_EQ(outlet_.idled, 0);
  EXPECT_EQ(service_.do_work({}), 0u);
  EXPECT_EQ(outlet_.idled, 1);
}

TEST_F(ServiceTest, TakesNoOrderWhileEventsWait) {
  int left = 2;
  outlet_.answer = [&left] { return left-- > 0 ? PublishStatus::ok : PublishStatus::back_pressured; };
  (void)service_.do_work({});
  EXPECT_EQ(orders_.at, 1u);
  EXPECT_EQ(service_.waiting(), 1u);
  EXPECT_EQ(service_.do_work({}), 0u);
  EXPECT_EQ(orders_.at, 1u);
  service_.stop_taking();
  outlet_.answer = nullptr;
  (void)service_.do_work({});
  EXPECT_EQ(service_.waiting(), 0u);
  EXPECT_EQ(orders_.at, 1u) << "told to end, it only publishes what it has";
}

TEST_F(ServiceTest, StandsStillWhenATopicIsClosed) {
  outlet_.answer = [] { return PublishStatus::closed; };
  (void)service_.do_work({});
  ASSERT_TRUE(service_.error());
  EXPECT_EQ(service_.error()->message, "the outlet is closed");
  EXPECT_EQ(orders_.at, 0u);
}

TEST_F(ServiceTest, StandsStillWhenItsSourceFails) {
  orders_.at = 2;
  orders_.failed = Error{ErrorCode::corrupt, "the log is bad"};
  (void)service_.do_work({});
  ASSERT_TRUE(service_.error());
  EXPECT_EQ(service_.error()->code, ErrorCode::corrupt);
}

TEST(PacedFlow, WhoFellBehindGoesOnAtTheUsualPace) {
  ManualClock clock;
  FlowSource source({.seed = 1, .commands_per_second = 1000}, clock);
  EXPECT_FALSE(source.next()) << "nothing is due at the start";
  clock.advance(std::chrono::hours(1));
  int burst = 0;
  WallTime last;
  while (const auto order = source.next()) {
    ++burst;
    EXPECT_GE(order->input.time, last);
    last = order->input.time;
  }
  EXPECT_EQ(burst, 1);
  EXPECT_LE(last, clock.wall());
  clock.advance(seconds(1));
  while (source.next()) ++burst;
  EXPECT_NEAR(burst, 1000, 150);
}

}  // namespace
}  // namespace millrace::matching
