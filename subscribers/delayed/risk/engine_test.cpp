// Proves what the risk engine says: each breach once, cleared with hysteresis, by the right value, and nothing while an
// input is stale.
#include "subscribers/delayed/risk/engine.hpp"

#include <gtest/gtest.h>

#include "subscribers/delayed/risk/testing/rig.hpp"

namespace millrace::delayed::risk {
namespace {

using schemas::HealthState;
using testing::Rig;
using testing::Said;

Limits limits_of(std::string_view text) {
  auto limits = parse_limits(text, "test");
  EXPECT_TRUE(limits) << limits.error().message;
  return *limits;
}
std::string text_of(const Said& said) {
  const Alert& alert = said.alert;
  const bool judged = alert.kind != RiskLimit::none;
  std::string value, limit;
  schemas::append_decimal({alert.value, alert.scale}, value);
  schemas::append_decimal({alert.limit, alert.scale}, limit);
  std::string text = schemas::EnumNameRiskState(alert.state);
  if (judged)
    return text + " " + alert.account + " " + alert.instrument + " " + schemas::EnumNameRiskLimit(alert.kind) + " " +
           value + "/" + limit;
  return text + " " + alert.account + " " + schemas::EnumNameRiskReason(alert.reason) + " " + alert.input + " " +
         alert.publisher;
}
std::vector<std::string> texts_of(Rig& rig) {
  std::vector<std::string> texts;
  for (const Said& said : rig.said()) texts.push_back(text_of(said));
  return texts;
}
using Texts = std::vector<std::string>;

TEST(RiskEngine, APositionBeyondItsLimitIsSaidOnceAndClearedOnlyWellBelowIt) {
  Rig rig(limits_of("[accounts.alice]\nposition = 100"));
  rig.start();
  const auto buy = [&](std::int64_t quantity) {
    quantity > 0 ? rig.trade("MILL", "alice", "bob", {10, 0}, {quantity, 0})
                 : rig.trade("MILL", "bob", "alice", {10, 0}, {-quantity, 0});
  };
  buy(100);  // at the limit is within it
  buy(1);
  for (int i = 0; i < 20; ++i) buy(i % 2 == 0 ? -9 : 9);  // 92 and 101: it does not chatter
  buy(-11);                                               // 90
  for (int i = 0; i < 6; ++i) buy(i % 2 == 0 ? 9 : -9);   // nor the other way round
  buy(-250);
  rig.run();
  EXPECT_EQ(texts_of(rig), (Texts{"breached alice MILL position 101/100", "cleared alice MILL position 90/100",
                                  "breached alice MILL position 160/100"}));
  const auto said = rig.said();
  EXPECT_EQ(said[0].alert.cause, Offset(1));
  EXPECT_EQ(said[0].alert.input, "trade_events");
  EXPECT_EQ(said[0].alert.trades_end, Offset(2)) << "what was judged is what lies before";
  EXPECT_EQ(said[1].alert.cause, Offset(22));
}

TEST(RiskEngine, ExposureAndLossGoByTheMiddleOfTheBookOrElseByTheLastTrade) {
  Rig rig(limits_of("[accounts.alice]\nloss = \"50.00\"\ngross_exposure = 1150\nnet_exposure = \"600.5\"\n"));
  rig.start();
  rig.trade("MILL", "alice", "bob", {1000, 2}, {100, 0});  // worth 1000.00 long
  rig.run();
  EXPECT_EQ(texts_of(rig).back(), "breached alice  net_exposure 1000.00/600.50");
  rig.trade("RACE", "bob", "alice", {50, 1}, {2000, 2});  // 100.00 short: 20 at 5
  rig.run();
  EXPECT_EQ(texts_of(rig).size(), 1u) << "gross 1100, net 900";
  rig.book("MILL", 945, 950, 2);  // 9.475: loses 52.50
  rig.run();
  EXPECT_EQ(texts_of(rig).back(), "breached alice  loss 52.500/50.000");
  rig.trade("RACE", "bob", "carol", {60, 1}, {1, 0});  // no book: the last trade is the mark
  rig.book("MILL", 1000, 1005, 2);                     // but not here
  rig.trade("MILL", "bob", "carol", {1, 0}, {1, 0});
  rig.run();
  const auto texts = texts_of(rig);
  ASSERT_EQ(texts.size(), 3u) << ::testing::PrintToString(texts);
  EXPECT_EQ(texts[2], "cleared alice  loss 17.500/50.000") << "2.50 won on MILL, 20 lost on RACE";
}

TEST(RiskEngine, ABookThatLeavesItsSidesOutIsOneWithoutThem) {
  Rig rig(limits_of("[accounts.alice]\nloss = 10\n"));
  rig.start();
  rig.trade("MILL", "alice", "bob", {10, 0}, {1, 0});
  rig.book("MILL", 9, 11, 0);
  flatbuffers::FlatBufferBuilder book;
  schemas::Text16 instrument;
  schemas::set_text(&instrument, "MILL");
  schemas::FinishMarketL2Buffer(book, schemas::CreateMarketL2(book, &instrument));
  rig.publish("market_l2", book);
  rig.run();
  EXPECT_EQ(rig.engine().memory().state.books_read.end, Offset(2));
  EXPECT_FALSE(rig.engine().memory().state.books.mid("MILL")) << "what it does not have is not there";
}

TEST(RiskEngine, MarginUseIsOfTheBalance) {
  Rig rig(limits_of("clear_percent = 50\n[defaults]\nmargin_use = \"0.8\"\n"));
  rig.start();
  rig.account("alice", 100'000, 80'000);
  rig.account("alice", 100'000, 80'001);
  rig.account("alice", 100'000, 40'001);
  rig.account("alice", 100'000, 40'000);
  rig.account("bob", 0, 1);
  rig.account("carol", -1, 0);
  rig.run();
  const auto texts = texts_of(rig);
  ASSERT_EQ(texts.size(), 3u) << ::testing::PrintToString(texts);
  EXPECT_EQ(texts[0], "breached alice CNY margin_use 0.800010000/0.800000000");
  EXPECT_EQ(texts[1], "cleared alice CNY margin_use 0.400000000/0.800000000");
  EXPECT_EQ(texts[2].substr(0, 27), "breached bob CNY margin_use") << "there is no balance to use";
}

TEST(RiskEngine, NothingIsJudgedWhileAnInputsPublisherIsUnwell) {
  Rig rig(limits_of("[defaults]\nposition = 10"));
  rig.start();
  rig.health("trade_events", "maker", HealthState::healthy);
  rig.health("order_events", "maker", HealthState::dead);  // no input
  rig.trade("MILL", "alice", "bob", {10, 0}, {11, 0});
  rig.run();
  ASSERT_EQ(texts_of(rig).size(), 2u);
  for (const auto state : {HealthState::degraded, HealthState::failed}) {
    rig.health("market_l2", "feed", state);
  }
  rig.health("trade_events", "maker", HealthState::disconnected);
  rig.run();
  rig.trade("MILL", "bob", "alice", {10, 0}, {11, 0});   // would clear both
  rig.trade("MILL", "carol", "dora", {10, 0}, {20, 0});  // would breach two
  rig.health("market_l2", "feed", HealthState::healthy);
  rig.run();
  EXPECT_EQ(texts_of(rig).size(), 5u) << "one is still unwell";
  rig.health("trade_events", "maker", HealthState::healthy);
  rig.run();
  EXPECT_EQ(texts_of(rig),
            (Texts{"breached alice MILL position 11/10", "breached bob MILL position 11/10",
                   "stale  publisher_unwell market_l2 feed", "stale  publisher_unwell trade_events maker",
                   "fresh  publisher_unwell market_l2 feed", "fresh  publisher_unwell trade_events maker",
                   "cleared alice MILL position 0/10", "cleared bob MILL position 0/10",
                   "breached carol MILL position 20/10", "breached dora MILL position 20/10"}));
}

TEST(RiskEngine, AnEngineThatStartsAgainStaysStaleUntilItHearsOtherwise) {
  Rig rig(limits_of("[defaults]\nposition = 10"));
  rig.start();
  rig.health("trade_events", "maker", HealthState::dead);
  rig.run();
  rig.die();
  rig.start();
  rig.trade("MILL", "alice", "bob", {10, 0}, {11, 0});
  rig.run();
  EXPECT_EQ(texts_of(rig), Texts{"stale  publisher_unwell trade_events maker"});
  rig.health("trade_events", "maker", HealthState::healthy);
  rig.run();
  EXPECT_EQ(texts_of(rig).size(), 4u);
}

TEST(RiskEngine, HealthIsHeardThoughNoDiskHasTakenIt) {
  Rig rig(limits_of("[defaults]\nposition = 10"));
  rig.start();
  rig.run();
  rig.health("trade_events", "maker", HealthState::disk_stalled);
  rig.step();  // and nothing of system.health is recorded
  rig.bus("risk_alerts").settle();
  EXPECT_EQ(texts_of(rig), Texts{"stale  publisher_unwell trade_events maker"});
}

TEST(RiskEngine, WhatItMissedOfTheHealthItAsksFor) {
  Rig rig(limits_of("[defaults]\nposition = 10"));
  rig.start();
  rig.health("trade_events", "maker", HealthState::healthy);
  rig.health("trade_events", "other", HealthState::healthy);
  rig.run();
  // More than the ring has, and this in the midst of it.
  for (int i = 0; i < 20'000; ++i) {
    rig.health("orders", "somebody", HealthState::healthy);
    if (i == 10'000) rig.health("trade_events", "maker", HealthState::failed);
  }
  rig.run();
  EXPECT_EQ(texts_of(rig), Texts{"stale  core_away  "}) << "nothing is known";
  rig.status("trade_events", "maker", control::PublisherState::failed);
  rig.run();
  EXPECT_EQ(texts_of(rig),
            (Texts{"stale  core_away  ", "fresh  core_away  ", "stale  publisher_unwell trade_events maker",
                   "stale  publisher_unwell trade_events other"}))
      << "and who is not there any more is not well";
}

TEST(RiskEngine, AnEngineThatHasMuchToReadShowsThatItLives) {
  Rig rig(limits_of(""));
  for (int i = 0; i < 1000; ++i) rig.trade("MILL", "alice", "bob", {10, 0}, {1, 0});
  rig.settle();
  rig.start();
  rig.step();  // nothing was judged before
  int rounds = 0;
  for (auto before = rig.signs_of_life(); rig.step() > 0; before = rig.signs_of_life()) {
    EXPECT_GT(rig.signs_of_life(), before);
    ++rounds;
  }
  EXPECT_GT(rounds, 10);
}

TEST(RiskEngine, NothingIsJudgedOverATradeOrAnAccountThatCannotBeRead) {
  for (const char* const topic : {"trade_events", "account_events"}) {
    Rig rig(limits_of("[defaults]\nposition = 10\nmargin_use = \"0.5\""));
    rig.start();
    rig.spoil(topic);
    rig.run();  // alone in its batch
    rig.trade("MILL", "alice", "bob", {10, 0}, {11, 0});
    rig.account("alice", 10, 9);
    rig.run();
    EXPECT_EQ(texts_of(rig), Texts{std::string("stale  events_missing ") + topic + " "});
  }
  Rig rig(limits_of("[defaults]\nposition = 10"));
  rig.start();
  rig.spoil("market_l2");
  rig.trade("MILL", "alice", "", {10, 0}, {11, 0});
  rig.run();
  EXPECT_EQ(texts_of(rig), Texts{"breached alice MILL position 11/10"}) << "the next book says it all";
}

TEST(RiskEngine, AnInputThatLagsIsStaleUntilHalfOfTheLag) {
  Rig rig(limits_of("max_lag = 100\n[defaults]\nposition = 10"));
  rig.start();
  rig.run();
  for (int i = 0; i < 101; ++i) rig.trade("MILL", "alice", "bob", {10, 0}, {1, 0});
  rig.run();
  const auto texts = texts_of(rig);
  EXPECT_EQ(texts, (Texts{"stale  input_lags trade_events ", "fresh  input_lags trade_events ",
                          "breached alice MILL position 56/10", "breached bob MILL position 56/10"}));
}

TEST(RiskEngine, AnInputThatEndsBeforeWhatWasJudgedIsAnErrorAndNotSilence) {
  Rig rig(limits_of("[defaults]\nposition = 10"));
  rig.trade("MILL", "alice", "bob", {10, 0}, {11, 0});
  rig.settle();
  {
    const auto before = rig.bus("risk_alerts").publisher("risk");
    ASSERT_TRUE(before->publish<schemas::RiskAlert>([](schemas::RiskAlert& alert) {
      alert.mutate_state(RiskState::fresh);
      alert.mutate_trades_end(2);
    }));
    rig.bus("risk_alerts").publisher_died("risk");
    rig.settle();
  }
  const Status started = rig.try_to_start(true);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::rolled_back);
  EXPECT_NE(started.error().message.find("'trade_events' up to offset 2, and the log ends at 1"), std::string::npos)
      << started.error().message;
  rig.die();
  rig.trade("MILL", "bob", "alice", {10, 0}, {1, 0});
  rig.settle();
  rig.start();
}

TEST(RiskEngine, AnAccountWhoseNumbersDoNotFitIsNotJudgedAndTheOthersAre) {
  Rig rig(limits_of("[defaults]\nposition = 10\nloss = 1"));
  rig.start();
  constexpr std::int64_t largest = INT64_MAX;
  rig.trade("MILL", "alice", "", {largest, 0}, {largest, 0});
  rig.trade("MILL", "alice", "bob", {1, 0}, {11, 0});
  rig.trade("RACE", "carol", "dora", {1, 200}, {11, 0});
  rig.run();
  const auto texts = texts_of(rig);
  EXPECT_EQ(texts[0], "breached alice MILL position 9223372036854775807/10");
  EXPECT_EQ(texts[1], "stale alice not_computable trade_events ");
  EXPECT_EQ(texts[2], "breached bob MILL position 11/10");
  EXPECT_EQ(texts[3], "stale carol not_computable trade_events ");
  EXPECT_EQ(texts[4], "stale dora not_computable trade_events ");
}

}  // namespace
}  // namespace millrace::delayed::risk
