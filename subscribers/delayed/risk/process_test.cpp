// Proves on a real bus, with a real matching engine, that breaches come out on risk_alerts, that a publisher which
// stands still makes the engine say that it does not judge, and that an engine killed anywhere says each crossing of a
// position limit exactly once.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "bus/daemon/test/clients.hpp"
#include "schemas/text.hpp"
#include "subscribers/delayed/risk/alert.hpp"

namespace millrace::delayed::risk {
namespace {

using ::millrace::testing::connect;
using ::millrace::testing::eventually;
using ::millrace::testing::Process;
using ::millrace::testing::program;
using ::millrace::testing::stop_and_wait;
using ::millrace::testing::TestCore;

class RiskProcesses : public ::testing::Test {
 protected:
  static std::string limits_file(const TestCore& core, const std::string& text) {
    const std::string path = core.folder() + "/risk.toml";
    std::ofstream(path) << text;
    return path;
  }
  static Process risk(const TestCore& core, const std::string& limits) {
    return Process({program("millrace-risk"), "--socket", core.socket(), "--limits", limits, "--snapshots",
                    core.folder() + "/snapshots", "--snapshot-events", "500", "--batch-ms", "5", "--log-level", "off"});
  }
  static Process matching(const TestCore& core, const std::string& rate) {
    return Process({program("millrace-matching"), "--socket", core.socket(), "--input", "generator", "--rate", rate,
                    "--log-level", "off"});
  }
  static std::vector<Alert> alerts(Bus& bus) {
    std::vector<Alert> all;
    auto subscriber = bus.subscribe("risk_alerts", {.level = Level::recorded, .start = StartEarliest{}});
    EXPECT_TRUE(subscriber);
    if (!subscriber) return all;
    while (subscriber->poll<schemas::RiskAlert>([&](const schemas::RiskAlert& event, const Event& at) {
      all.push_back(read(event));
      all.back().cause = at.frame.cause();
    }) > 0) {
    }
    return all;
  }
  static std::size_t count(Bus& bus, RiskState state, const std::string& input = "") {
    std::size_t found = 0;
    for (const Alert& alert : alerts(bus)) {
      found += alert.state == state && (input.empty() || (alert.input == input && alert.publisher == "matching"));
    }
    return found;
  }
};

TEST_F(RiskProcesses, ABreachIsSaidAndAPublisherThatStandsStillMakesItsInputsStale) {
  TestCore core(TestCore::InCore{"heartbeat_timeout = \"1s\"\n"});
  const auto bus = connect(core);
  ASSERT_TRUE(bus);
  Process maker = matching(core, "2000");
  Process engine = risk(core, limits_file(core, "[defaults]\nposition = 1\n"));
  ASSERT_TRUE(eventually([&] { return count(*bus, RiskState::breached) > 0; })) << engine.errors();
  ASSERT_TRUE(stop_and_wait(maker.pid()));
  const auto stale = [&](const char* input) {
    return count(*bus, RiskState::stale, input) > count(*bus, RiskState::fresh, input);
  };
  EXPECT_TRUE(eventually([&] { return stale("trade_events") && stale("market_l2"); })) << engine.errors();
  const std::size_t judged = count(*bus, RiskState::breached) + count(*bus, RiskState::cleared);
  maker.signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return !stale("trade_events") && !stale("market_l2"); })) << engine.errors();
  EXPECT_TRUE(eventually([&] { return count(*bus, RiskState::breached) + count(*bus, RiskState::cleared) > judged; }))
      << "it judges again";
  bool all_stale = false;
  Standing standing;
  for (const Alert& alert : alerts(*bus)) {
    if (alert.kind != RiskLimit::none) {
      EXPECT_FALSE(standing.all_stale()) << "judged while stale";
    }
    standing.apply(alert);
    all_stale = all_stale || standing.all_stale();
  }
  EXPECT_TRUE(all_stale);
  engine.signal(SIGTERM);
  EXPECT_EQ(engine.wait(), 0) << engine.errors();
}

TEST_F(RiskProcesses, ACoreThatIsAwayIsSaidOnceItIsBackAndNothingIsJudgedBefore) {
  TestCore core(TestCore::InCore{"heartbeat_timeout = \"100s\"\n"});
  auto bus = connect(core);
  ASSERT_TRUE(bus);
  Process engine = risk(core, limits_file(core, "[accounts.alice]\nposition = 10\n"));
  std::optional<Publisher> desk;
  const auto attach = [&] {
    auto made = bus->publisher("trade_events", "desk");
    ASSERT_TRUE(made) << made.error().message;
    desk.emplace(std::move(*made));
  };
  const auto trade = [&](const char* buyer, const char* seller, std::int64_t quantity) {
    return eventually([&] {
      return static_cast<bool>(desk->publish<schemas::TradeEvent>([&](schemas::TradeEvent& event) {
        schemas::set_text(event.mutable_instrument(), "MILL");
        schemas::set_text(event.mutable_buyer_account(), buyer);
        schemas::set_text(event.mutable_seller_account(), seller);
        event.mutate_price(10);
        event.mutate_quantity(quantity);
      }));
    });
  };
  const auto said = [&] {
    std::vector<std::string> texts;
    for (const Alert& alert : alerts(*bus)) {
      texts.push_back(
          std::string(schemas::EnumNameRiskState(alert.state)) + " " +
          (alert.kind != RiskLimit::none ? std::to_string(alert.value) : schemas::EnumNameRiskReason(alert.reason)));
    }
    return texts;
  };
  attach();
  ASSERT_TRUE(trade("alice", "bob", 11));
  ASSERT_TRUE(eventually([&] { return said().size() == 1; })) << engine.errors();
  auto watch = bus->subscribe("trade_events", {.level = Level::recorded});
  ASSERT_TRUE(watch);
  core.kill();
  ASSERT_TRUE(eventually([&] {
    watch->poll<schemas::TradeEvent>([](const schemas::TradeEvent&, const Event&) {});
    return !watch->follower()->freshness().connected;
  }));
  watch = fail(ErrorCode::disconnected, "let go");
  desk.reset();
  bus.reset();
  core.start();
  bus = connect(core);
  ASSERT_TRUE(bus);
  // Its publisher is not back yet: nobody has heard of it from the new core.
  const auto heard = [&](const char* text) {
    return eventually([&] {
      const auto all = said();
      return std::find(all.begin(), all.end(), text) != all.end();
    });
  };
  EXPECT_TRUE(heard("stale core_away")) << engine.errors();
  EXPECT_TRUE(heard("fresh core_away")) << engine.errors();
  attach();
  ASSERT_TRUE(trade("alice", "bob", 1));
  ASSERT_TRUE(trade("bob", "alice", 12));
  EXPECT_TRUE(heard("cleared 0")) << engine.errors();
  Standing standing;
  for (const Alert& alert : alerts(*bus)) {
    if (alert.kind != RiskLimit::none) {
      EXPECT_FALSE(standing.all_stale()) << "judged while stale";
    }
    standing.apply(alert);
  }
  const auto all = said();
  EXPECT_EQ(all.front(), "breached 11");
  EXPECT_EQ(std::count(all.begin(), all.end(), "breached 11"), 1) << "it stands, and is not said again";
  engine.signal(SIGTERM);
  EXPECT_EQ(engine.wait(), 0) << engine.errors();
}

TEST_F(RiskProcesses, KilledAnywhereItSaysEachCrossingOfAPositionLimitExactlyOnce) {
  TestCore core(TestCore::InCore{"heartbeat_timeout = \"100s\"\n"});  // so that nothing is stale, however slow this is
  const auto bus = connect(core);
  ASSERT_TRUE(bus);
  const std::string limits =
      limits_file(core, "max_lag = 1000000000\n[defaults]\nposition = 20\ngross_exposure = 100000\nloss = 100\n");
  Process maker = matching(core, "5000");
  for (std::size_t life = 0, said = 0; life < 8; ++life) {
    Process engine = risk(core, limits);
    ASSERT_TRUE(eventually([&] { return alerts(*bus).size() > said + 50; })) << engine.errors();
    engine.signal(SIGKILL);
    ASSERT_EQ(engine.wait(), 128 + SIGKILL) << engine.errors();
    said = alerts(*bus).size();
  }
  maker.signal(SIGTERM);
  ASSERT_EQ(maker.wait(), 0) << maker.errors();

  // By a rule of its own, from the trades in the log.
  std::vector<std::string> expected;
  std::map<std::pair<std::string, std::string>, std::pair<std::int64_t, bool>> held;
  auto trades = bus->subscribe("trade_events", {.level = Level::recorded, .start = StartEarliest{}});
  ASSERT_TRUE(trades);
  while (trades->poll<schemas::TradeEvent>([&](const schemas::TradeEvent& trade, const Event& at) {
    std::int64_t limit = 20;  // an instrument's trades all have one scale
    for (std::uint8_t i = 0; i < trade.quantity_scale(); ++i) limit *= 10;
    const std::string buyer(schemas::text(trade.buyer_account())), seller(schemas::text(trade.seller_account()));
    const std::string instrument(schemas::text(trade.instrument()));
    if (buyer == seller) return;
    held[{buyer, instrument}].first += trade.quantity();
    held[{seller, instrument}].first -= trade.quantity();
    for (const std::string& account : {buyer, seller}) {
      auto& [quantity, breached] = held[{account, instrument}];
      const std::int64_t size = std::abs(quantity);
      if (breached ? size * 10 > limit * 9 : size <= limit) continue;
      breached = !breached;
      expected.push_back(std::to_string(at.offset->value()) + " " + account + " " + instrument + " " +
                         std::to_string(breached) + " " + std::to_string(size));
    }
  }) > 0) {
  }
  Process engine = risk(core, limits);
  const auto positions = [&] {
    std::vector<std::string> said;
    for (const Alert& alert : alerts(*bus)) {
      if (alert.kind != RiskLimit::position) continue;
      said.push_back(std::to_string(alert.cause ? alert.cause->value() : UINT64_MAX) + " " + alert.account + " " +
                     alert.instrument + " " + std::to_string(alert.state == RiskState::breached) + " " +
                     std::to_string(alert.value));
    }
    return said;
  };
  EXPECT_GT(expected.size(), 100u);
  EXPECT_TRUE(eventually([&] { return positions().size() >= expected.size(); })) << engine.errors();
  EXPECT_EQ(positions(), expected);
}

TEST_F(RiskProcesses, WrongLimitsAreToldAndEndIt) {
  const std::string path = ::testing::TempDir() + "/risk_wrong.toml";
  std::ofstream(path) << "[defaults]\nposition = 0.5\n";
  Process engine({program("millrace-risk"), "--limits", path, "--check"});
  EXPECT_EQ(engine.wait(), 2);
  EXPECT_NE(engine.errors().find(":2:12: defaults.position: wants a number"), std::string::npos) << engine.errors();
}

}  // namespace
}  // namespace millrace::delayed::risk
