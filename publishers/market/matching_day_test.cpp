// Proves on a whole day in Shanghai that no order is matched twice or lost, whenever the engine dies: what its topics
// have in the end is, byte for byte, what an engine that never died gives.
//
// The engine is killed at each of a seeded sample of its steps, and at each step of a dense range around the opening
// auction; with MILLRACE_SOAK=1 at every single step of the day.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "publishers/market/oracles.hpp"
#include "publishers/matching/recovery_rig.hpp"

namespace millrace::market {
namespace {

using matching::kOutputTopicNames;
using matching::kOutputTopics;
using matching::Point;
using matching::RecoveryRig;
using Death = RecoveryRig::Death;

class MatchingDay : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kSnapshotEvery = 500;

  static void SetUpTestSuite() {
    const char* set = std::getenv("MILLRACE_DATA");
    const std::string data = set != nullptr ? set : MILLRACE_DATA_DEFAULT;
    if (!std::filesystem::is_directory(data)) return;
    auto loaded = load_sse_day(data, matching::InstrumentId(0));
    ASSERT_TRUE(loaded) << loaded.error().message;
    day_ = std::make_unique<SseDay>(*std::move(loaded));
    const auto rig = make_rig();
    rig->run({}, Death::engine, 1);
    logs_ = rig->logs();
    points_ = std::move(rig->points);
  }
  static void TearDownTestSuite() {
    day_.reset();
    logs_ = {};
    points_.clear();
  }
  void SetUp() override {
    if (day_ == nullptr) GTEST_SKIP() << "there are no recordings; set MILLRACE_DATA";
  }

  // With the day's orders on their topic.
  static std::unique_ptr<RecoveryRig> make_rig() {
    const auto config = day_->instrument_config("600519");
    matching::RigOptions options;
    options.instruments = {config};
    options.snapshot_every = kSnapshotEvery;
    options.segment_size = 2 << 20;
    options.page_size = 16 << 10;
    auto rig = std::make_unique<RecoveryRig>(options);
    const auto publish = [&](const matching::Command& command, WallTime time) {
      rig->publish_order([&](schemas::OrderCommand& into) { matching::write(command, config, "", time, into); });
    };
    publish(matching::SetPhase{matching::InstrumentId(0), config.phase, config.reference}, {});
    for (const auto& one : day_->commands()) publish(one.command, one.input.time);
    rig->orders_done();
    return rig;
  }

  static void expect_same_day(RecoveryRig& rig) {
    const auto logs = rig.logs();
    for (std::size_t topic = 0; topic < kOutputTopics; ++topic) {
      ASSERT_EQ(logs[topic].size(), logs_[topic].size()) << kOutputTopicNames[topic];
      for (std::size_t i = 0; i < logs[topic].size(); ++i) {
        ASSERT_EQ(logs[topic][i].sequence, Sequence(i + 1)) << kOutputTopicNames[topic];
        ASSERT_TRUE(logs[topic][i] == logs_[topic][i]) << kOutputTopicNames[topic] << " " << i + 1;
      }
    }
  }

  // `count` steps of the day chosen by the seed.
  static std::set<Point> sample(std::uint64_t seed, std::uint64_t count) {
    matching::Random random(seed);
    std::set<Point> chosen;
    while (chosen.size() < count) chosen.insert(points_[random.below(points_.size())]);
    return chosen;
  }
  // `count` steps, from a little before the opening auction's trades.
  static std::span<const Point> around_the_opening(std::size_t count) {
    const auto trades =
        std::find_if(points_.begin(), points_.end(), [](const Point& point) { return point.stage == 20; });
    const auto at = static_cast<std::size_t>(trades - points_.begin());
    return std::span<const Point>(points_).subspan(at - 100, count);
  }

  static std::unique_ptr<SseDay> day_;
  static matching::OutputLogs logs_;
  static std::vector<Point> points_;
};
std::unique_ptr<SseDay> MatchingDay::day_;
matching::OutputLogs MatchingDay::logs_;
std::vector<Point> MatchingDay::points_;

TEST_F(MatchingDay, IsTheExchangesDay) {
  EXPECT_EQ(logs_[0].size(), 18'139u + 334u + 212u) << "trades: continuous, opening, closing";
  EXPECT_GT(points_.size(), 200'000u);
}

TEST_F(MatchingDay, AnEngineKilledAtManyStepsGivesTheSame) {
  auto kills = sample(1, 300);
  const auto dense = around_the_opening(400);
  kills.insert(dense.begin(), dense.end());
  const auto rig = make_rig();
  rig->run({kills.begin(), kills.end()}, Death::engine, 2, true);
  ASSERT_FALSE(HasFatalFailure());
  expect_same_day(*rig);
  EXPECT_GT(rig->deaths, kills.size()) << "and snapshots were killed, too";
  EXPECT_GT(rig->snapshots_written, 50u);
  std::printf("killed %llu times, %llu snapshots written\n", static_cast<unsigned long long>(rig->deaths),
              static_cast<unsigned long long>(rig->snapshots_written));
}

TEST_F(MatchingDay, PowerCutsAtManyStepsGiveTheSame) {
  auto cuts = sample(3, 10);
  const auto dense = around_the_opening(110).subspan(100);
  cuts.insert(dense.begin(), dense.end());
  const auto rig = make_rig();
  rig->run({cuts.begin(), cuts.end()}, Death::host, 4);
  ASSERT_FALSE(HasFatalFailure());
  expect_same_day(*rig);
  std::printf("%llu power cuts, %llu snapshots written\n", static_cast<unsigned long long>(rig->deaths),
              static_cast<unsigned long long>(rig->snapshots_written));
}

TEST_F(MatchingDay, AnEngineKilledAtEverySingleStepGivesTheSame) {
  if (std::getenv("MILLRACE_SOAK") == nullptr) GTEST_SKIP() << "takes long: set MILLRACE_SOAK=1";
  constexpr std::size_t kKills = 2000;  // in one log, where each leaves the grant of an epoch
  for (std::size_t from = 0; from < points_.size(); from += kKills) {
    const auto kills = std::span<const Point>(points_).subspan(from, std::min(kKills, points_.size() - from));
    const auto rig = make_rig();
    rig->run({kills.begin(), kills.end()}, Death::engine, from);
    ASSERT_FALSE(HasFatalFailure());
    expect_same_day(*rig);
    ASSERT_FALSE(HasFatalFailure()) << "steps from " << from;
  }
  std::printf("killed at each of %zu steps\n", points_.size());
}

// Figures, and that the state of a full book is no burden.
TEST_F(MatchingDay, ComesBackSoon) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  };
  const auto rig = make_rig();
  const auto no_point = [](Point) {};
  const auto orders = day_->commands().size();
  rig->start(no_point, rig->disk);
  const auto step_all = [&](std::uint64_t until) {
    while (rig->service().commands() < until || rig->service().waiting() > 0) {
      rig->step();
      for (std::size_t i = 0; i < kOutputTopics && rig->service().waiting() > 0; ++i) rig->output(i).settle();
      ASSERT_FALSE(rig->service().error()) << rig->service().error()->message;
    }
  };
  step_all(orders * 9 / 10);
  auto begin = Clock::now();
  const auto snapshot = rig->snapshot_now();
  const auto copied = since(begin);
  begin = Clock::now();
  const auto bytes = matching::encode(snapshot);
  std::printf("snapshot of %zu bytes: copied in %.3f ms, encoded in %.3f ms\n", bytes.size(), copied, since(begin));
  EXPECT_LT(bytes.size(), 4u << 20);
  for (std::size_t i = 0; i < kOutputTopics; ++i) rig->output(i).settle();
  step_all(rig->order_count());
  rig->die(Death::engine, 0);

  for (const bool with_snapshot : {true, false}) {
    if (!with_snapshot) rig->lose_snapshots();
    begin = Clock::now();
    rig->start(no_point, rig->disk);
    const auto started = since(begin);
    const auto behind = rig->order_count() - rig->snapshot_now().input.offset.value();
    step_all(behind);
    std::printf("%s: begun in %.3f ms, %llu orders made again in %.3f ms\n",
                with_snapshot ? "from the snapshot" : "from the first order", started,
                static_cast<unsigned long long>(behind), since(begin) - started);
    EXPECT_FALSE(rig->outlet().making_again());
    rig->die(Death::engine, 0);
  }
  expect_same_day(*rig);
}

}  // namespace
}  // namespace millrace::market
