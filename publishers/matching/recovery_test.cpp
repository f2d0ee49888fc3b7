// Proves that an engine which dies at any step comes back with its book: what its topics have in the end is, byte for
// byte, what an engine that never died gives. It is killed at each of its steps, alone and together with the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "publishers/matching/test_venue.hpp"
#include "publishers/matching/testing/recovery_rig.hpp"

namespace millrace::matching {
namespace {

using ::testing::HasSubstr;
using Death = RecoveryRig::Death;

RigOptions two_instruments() {
  RigOptions options;
  options.instruments = {mill_config(), mill_config()};
  options.instruments[1].name = "RACE";
  options.instruments[1].self_trade = SelfTrade::cancel_oldest;
  options.segment_size = 64 << 10;
  options.page_size = 16 << 10;  // so that what any order leads to fits
  return options;
}

// Everything that orders can be: of every type, with and without a name, changed and cancelled, in and out of auctions,
// wrong in every part.
void write_any_order(Random& random, std::uint64_t number, schemas::OrderCommand& command) {
  constexpr std::array<const char*, 4> accounts{"ann", "bob", "cyd", ""};
  schemas::set_text(command.mutable_instrument(), random.chance(0.02) ? "NONE" : random.chance(0.5) ? "MILL" : "RACE");
  schemas::set_text(command.mutable_account(), accounts[random.below(4)]);
  command.mutate_price_scale(2);
  command.mutate_price(100'00 + random.between(-8, 8));
  command.mutate_quantity(random.between(random.chance(0.02) ? 0 : 1, 20));
  command.mutate_order_time(static_cast<std::int64_t>(number));
  const auto some_name = "n" + std::to_string(number - random.below(std::min<std::uint64_t>(number, 30) + 1));
  const auto dice = random.below(100);
  if (dice < 70) {
    command.mutate_action(schemas::OrderAction::enter);
    command.mutate_side(random.chance(0.5) ? schemas::Side::buy : schemas::Side::sell);
    command.mutate_type(random.chance(0.1) ? schemas::OrderType::market : schemas::OrderType::limit);
    const auto time = random.below(10);
    if (time == 0) command.mutate_time_in_force(schemas::TimeInForce::immediate_or_cancel);
    if (time == 1) command.mutate_time_in_force(schemas::TimeInForce::fill_or_kill);
    command.mutate_post_only(time == 2);
    if (random.chance(0.7)) {
      auto name = "n" + std::to_string(number);
      // Bytes behind the end of a name are echoed as they are.
      if (random.chance(0.1)) name += std::string("\0x", 2);
      schemas::set_text(command.mutable_client_order_id(), name);
    }
    if (random.chance(0.2)) command.mutate_order_id(1 + number);
  } else if (dice < 96) {
    command.mutate_action(dice < 85 ? schemas::OrderAction::cancel : schemas::OrderAction::replace);
    schemas::set_text(command.mutable_client_order_id(), some_name);
    if (random.chance(0.2)) command.mutate_order_id(Venue::kFirstGivenOrder.value() + random.below(number + 1));
  } else {
    command.mutate_action(schemas::OrderAction::set_phase);
    schemas::set_text(command.mutable_instrument(), random.chance(0.3) ? "" : "MILL");
    command.mutate_phase(random.chance(0.5) ? schemas::Phase::continuous : schemas::Phase::auction);
    if (random.chance(0.05)) command.mutate_phase(schemas::Phase::closed);
  }
}

void publish_orders(RecoveryRig& rig, std::uint64_t seed, std::uint64_t count) {
  Random random(seed);
  for (std::uint64_t i = 0; i < count; ++i) {
    rig.publish_order([&](schemas::OrderCommand& command) { write_any_order(random, i, command); });
  }
  rig.orders_done();
}

constexpr std::uint64_t kOrders = 250;

// What an engine that never dies gives, and the points it passes.
struct Undisturbed {
  explicit Undisturbed(std::uint64_t seed, std::uint64_t orders = kOrders) {
    RecoveryRig rig(two_instruments());
    publish_orders(rig, seed, orders);
    rig.run({}, Death::engine, seed);
    logs = rig.logs();
    points = std::move(rig.points);
  }
  OutputLogs logs;
  std::vector<Point> points;
};

void expect_same(RecoveryRig& rig, const OutputLogs& expected) {
  const auto found = rig.logs();
  EXPECT_EQ(rig.torn, 0u) << "what follows from an order is recorded whole or not at all";
  for (std::size_t topic = 0; topic < kOutputTopics; ++topic) {
    ASSERT_EQ(found[topic].size(), expected[topic].size()) << kOutputTopicNames[topic];
    for (std::size_t i = 0; i < found[topic].size(); ++i) {
      ASSERT_EQ(found[topic][i].sequence, Sequence(i + 1)) << kOutputTopicNames[topic];
      ASSERT_EQ(found[topic][i], expected[topic][i]) << kOutputTopicNames[topic] << " " << i + 1;
    }
  }
}

TEST(Recovery, EachOutputNamesItsCauseAndItsIndexThere) {
  const Undisturbed run(1);
  for (const auto& log : run.logs) {
    EXPECT_GT(log.size(), 20u);
    std::optional<Cause> before;
    std::uint16_t most = 0;
    for (const auto& event : log) {
      ASSERT_TRUE(event.cause);
      if (before && before->offset == event.cause->offset) {
        EXPECT_EQ(event.cause->index, before->index + 1);
      } else {
        EXPECT_TRUE(!before || event.cause->offset > before->offset);
        EXPECT_EQ(event.cause->index, 0);
      }
      most = std::max(most, event.cause->index);
      before = event.cause;
    }
    EXPECT_GT(most, 0) << "a test of indexes needs some";
  }
}

// One order that leads to more events than a page has room for: the phase that ends what rests.
void rest_and_close(RecoveryRig& rig, std::uint64_t resting) {
  for (std::uint64_t i = 0; i < resting; ++i) {
    rig.publish_order([i](schemas::OrderCommand& command) {
      schemas::set_text(command.mutable_instrument(), "MILL");
      schemas::set_text(command.mutable_account(), "ann");
      command.mutate_action(schemas::OrderAction::enter);
      command.mutate_side(schemas::Side::buy);
      command.mutate_type(schemas::OrderType::limit);
      command.mutate_price_scale(2);
      command.mutate_price(100'00 - static_cast<std::int64_t>(i % 8));
      command.mutate_quantity(1);
    });
  }
  rig.publish_order([](schemas::OrderCommand& command) {
    schemas::set_text(command.mutable_instrument(), "MILL");
    command.mutate_action(schemas::OrderAction::set_phase);
    command.mutate_phase(schemas::Phase::closed);
  });
  rig.orders_done();
}

TEST(Recovery, WhatDoesNotFitAPageIsCutThereAndComesAllTheSame) {
  constexpr std::uint64_t kResting = 100;
  auto options = two_instruments();
  options.page_size = 4096;
  RecoveryRig undisturbed(options);
  rest_and_close(undisturbed, kResting);
  undisturbed.run({}, Death::engine, 1);
  const auto expected = undisturbed.logs();
  EXPECT_GT(undisturbed.torn, 2u) << "a test of cut batches needs some";

  for (const auto death : {Death::engine, Death::host}) {
    std::vector<Point> kills;
    for (const auto& point : undisturbed.points) {
      if (point.order == kResting && (death == Death::engine || point.stage % 16 == 0)) kills.push_back(point);
    }
    EXPECT_GT(kills.size(), 10u);
    RecoveryRig rig(options);
    rest_and_close(rig, kResting);
    rig.run(kills, death, 1);
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    const auto found = rig.logs();
    for (std::size_t i = 0; i < kOutputTopics; ++i) EXPECT_TRUE(found[i] == expected[i]) << kOutputTopicNames[i];
  }
}

class RecoveryAtEveryStep : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RecoveryAtEveryStep, AnEngineKilledAtEachStepInTurnGivesTheSame) {
  const Undisturbed run(GetParam());
  RecoveryRig rig(two_instruments());
  publish_orders(rig, GetParam(), kOrders);
  rig.run(run.points, Death::engine, GetParam(), true);
  expect_same(rig, run.logs);
  EXPECT_GT(rig.deaths, run.points.size());
  EXPECT_GT(rig.snapshots_written, 2u) << "each is killed at all its operations before it is written";
  EXPECT_EQ(rig.snapshots_rejected, 0u);
}

// Each life takes the host with it, and what was not synced: topics come back uneven, snapshots old or new.
TEST_P(RecoveryAtEveryStep, PowerCutsAtEveryTenthStepInTurnGiveTheSame) {
  Undisturbed run(GetParam());
  std::erase_if(run.points, [&, at = GetParam()](const Point&) mutable { return ++at % 10 != 0; });
  constexpr std::size_t kCuts = 25;  // of one disk: each leaves the segments of another run
  std::uint64_t written = 0;
  for (std::size_t from = 0; from < run.points.size(); from += kCuts) {
    const auto end = std::min(from + kCuts, run.points.size());
    RecoveryRig rig(two_instruments());
    publish_orders(rig, GetParam(), kOrders);
    rig.run(
        {run.points.begin() + static_cast<std::ptrdiff_t>(from), run.points.begin() + static_cast<std::ptrdiff_t>(end)},
        Death::host, GetParam() + from, from / kCuts % 2 == 0);
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    expect_same(rig, run.logs);
    written += rig.snapshots_written;
  }
  EXPECT_GT(written, 2u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RecoveryAtEveryStep, ::testing::Values(1, 2, 3));

// One death each, so that the life after it is a long one.
TEST(Recovery, OneKillAtAnyStepChangesNothing) {
  constexpr std::uint64_t kFew = 40;
  const Undisturbed run(5, kFew);
  for (std::size_t i = 0; i < run.points.size(); ++i) {
    for (const auto death : {Death::engine, Death::host}) {
      RecoveryRig rig(two_instruments());
      publish_orders(rig, 5, kFew);
      rig.run({run.points[i]}, death, i);
      ASSERT_FALSE(::testing::Test::HasFatalFailure());
      expect_same(rig, run.logs);
    }
  }
}

// In one process: the engine lives, its topics' cores die.
TEST(Recovery, CoresThatDieUnderALivingEngineChangeNothing) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Undisturbed run(seed);
    RecoveryRig rig(two_instruments());
    publish_orders(rig, seed, kOrders);
    rig.start([](Point) {}, rig.disk);
    Random random(seed);
    std::uint64_t restarts = 0;
    // Some outputs are published into a core that is dead already, before anybody tells.
    while (rig.service().commands() < kOrders || rig.service().waiting() > 0) {
      rig.step();
      ASSERT_FALSE(rig.service().error()) << rig.service().error()->message;
      const auto dice = random.below(60);
      if (dice < kOutputTopics) {
        rig.output(dice).restart_core([&] { rig.step(); });
        ++restarts;
      } else if (dice == kOutputTopics) {
        rig.orders().restart_core([&] { rig.step(); });
      } else if (dice < 2 * kOutputTopics + 1) {
        rig.output(dice - kOutputTopics - 1).step();
      }
    }
    EXPECT_GT(restarts, 10u);
    for (int i = 0; i < 10; ++i) rig.step();  // offers again what the last dead cores did not record
    rig.die(Death::engine, 0);
    expect_same(rig, run.logs);
  }
}

// ---- what a snapshot has behind it must be on the disk

TEST(Recovery, ASnapshotWaitsForTheEventsThatItHasBehindItToBeSynced) {
  for (std::size_t late = 0; late < kOutputTopics; ++late) {
    RecoveryRig rig(two_instruments());
    publish_orders(rig, 1, kOrders);
    rig.start([](Point) {}, rig.disk);
    while (rig.service().commands() < kOrders) {
      rig.step();
      for (std::size_t i = 0; i < kOutputTopics; ++i) {
        if (i == late) {
          rig.output(i).grant();
        } else {
          rig.output(i).settle();
        }
      }
    }
    EXPECT_EQ(rig.snapshots().written(), 0u) << kOutputTopicNames[late] << " was never synced";
    rig.output(late).settle();
    for (int i = 0; i < 4; ++i) rig.step();
    EXPECT_EQ(rig.snapshots().written(), 1u);
  }
}

// The hole that this closes: a snapshot survives, the events before it do not, and nobody would make them again.
TEST(Recovery, ASnapshotThatOutlivedItsOutputsIsNotUsed) {
  std::uint64_t rejected = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Undisturbed run(seed, 60);
    RecoveryRig rig(two_instruments());
    publish_orders(rig, seed, 60);
    rig.start([](Point) {}, rig.disk);
    while (rig.service().commands() < 30) {
      rig.step();
      for (std::size_t i = 0; i < kOutputTopics; ++i) rig.output(i).grant();
    }
    auto store = SnapshotStore::open(rig.disk, "/snapshots");
    ASSERT_TRUE(store);
    const auto early = rig.snapshot_now();
    ASSERT_TRUE(store->write(early.input.offset, encode(early)));
    rig.die(Death::host, seed);
    rig.run({}, Death::host, seed);
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    rejected += rig.snapshots_rejected;
    expect_same(rig, run.logs);
  }
  EXPECT_EQ(rejected, 20u);
}

// ---- an engine that cannot come back says so

class RecoveryRefused : public ::testing::Test {
 protected:
  void SetUp() override {
    publish_orders(rig_, 1, kOrders);
    rig_.run({}, Death::engine, 1);
    logs_ = rig_.logs();
  }
  // Steps until the engine stands still.
  [[nodiscard]] Error error_of() {
    for (std::uint64_t i = 0; i < 10 * kOrders && !rig_.service().error(); ++i) rig_.step();
    EXPECT_TRUE(rig_.service().error());
    return rig_.service().error().value_or(Error{});
  }

  RigOptions options_ = two_instruments();
  RecoveryRig rig_{options_};
  OutputLogs logs_;
};

TEST_F(RecoveryRefused, WithoutSnapshotsAllIsMadeAgainAndNothingPublished) {
  rig_.lose_snapshots();
  ASSERT_TRUE(rig_.try_start());
  for (std::uint64_t i = 0; i < 4 * kOrders; ++i) rig_.step();
  EXPECT_FALSE(rig_.service().error());
  EXPECT_EQ(rig_.outlet().suppressed(), logs_[0].size() + logs_[1].size() + logs_[2].size());
  rig_.die(Death::engine, 0);
  expect_same(rig_, logs_);
}

TEST_F(RecoveryRefused, AnEngineOfOtherRulesDoesNotGoOnWhereItsLogsEnd) {
  rig_.lose_snapshots();
  rig_.options().instruments[0].self_trade = SelfTrade::cancel_both;
  rig_.options().instruments[0].reference = Price{90'00};
  ASSERT_TRUE(rig_.try_start());
  const auto error = error_of();
  EXPECT_EQ(error.code, ErrorCode::sequence_error);
  EXPECT_THAT(error.message, HasSubstr("does not go on where this engine does"));
  rig_.die(Death::engine, 0);
  expect_same(rig_, logs_);
}

TEST_F(RecoveryRefused, ASnapshotOfOtherInstrumentsIsSaidSo) {
  rig_.options().instruments.pop_back();
  const auto status = rig_.try_start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(status.error().message, HasSubstr("other instruments"));
}

TEST_F(RecoveryRefused, OrdersThatAreGoneAreSaidSo) {
  rig_.lose_snapshots();
  rig_.delete_first_orders();
  const auto status = rig_.try_start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::deleted);
  EXPECT_THAT(status.error().message, HasSubstr("from the first order, having no snapshot"));
}

TEST_F(RecoveryRefused, AnotherLogOfOrdersIsSaidSo) {
  rig_.begin_another_log_of_orders();
  const auto status = rig_.try_start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(status.error().message, HasSubstr("position is of another log"));
}

TEST_F(RecoveryRefused, OutputsThatNoOrderLedToAreSaidSo) {
  rig_.lose_snapshots();
  rig_.begin_another_log_of_orders();
  ASSERT_TRUE(rig_.try_start());
  const auto error = error_of();
  EXPECT_EQ(error.code, ErrorCode::sequence_error);
  EXPECT_THAT(error.message, HasSubstr("all orders there are lead to 0"));
}

}  // namespace
}  // namespace millrace::matching
