// Proves what each mode of self-trade prevention does when an account meets its own resting order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publishers/matching/test_exchange.hpp"

namespace millrace::matching {
namespace {

using testing::ElementsAre;

InstrumentConfig with(SelfTrade mode) {
  auto config = mill();
  config.self_trade = mode;
  return config;
}

// Account 7 has an order between two of account 8.
TestExchange& prepared(TestExchange& exchange) {
  exchange.sell(1, 2, 100, 8);
  exchange.sell(2, 2, 101, 7);
  exchange.sell(3, 2, 102, 8);
  return exchange;
}

TEST(SelfTrade, CancelNewestEndsTheArrivingOrderAtItsOwn) {
  TestExchange exchange(with(SelfTrade::cancel_newest));
  EXPECT_THAT(prepared(exchange).buy(9, 6, 102, 7),
              ElementsAre("accepted 9", "trade 1: 9 from 1 2@100 buy", "cancelled 9 4 self_trade"));
  EXPECT_EQ(exchange.book(), "| 2@101 2@102");
}

TEST(SelfTrade, CancelNewestIsTheDefault) {
  EXPECT_EQ(mill().self_trade, SelfTrade::cancel_newest);
}

TEST(SelfTrade, CancelOldestEndsTheRestingOrderAndGoesOn) {
  TestExchange exchange(with(SelfTrade::cancel_oldest));
  EXPECT_THAT(prepared(exchange).buy(9, 6, 102, 7),
              ElementsAre("accepted 9", "trade 1: 9 from 1 2@100 buy", "cancelled 2 2 self_trade",
                          "trade 2: 9 from 3 2@102 buy"));
  EXPECT_EQ(exchange.book(), "2@102 |");
}

TEST(SelfTrade, CancelBothEndsBoth) {
  TestExchange exchange(with(SelfTrade::cancel_both));
  EXPECT_THAT(
      prepared(exchange).buy(9, 6, 102, 7),
      ElementsAre("accepted 9", "trade 1: 9 from 1 2@100 buy", "cancelled 2 2 self_trade", "cancelled 9 4 self_trade"));
  EXPECT_EQ(exchange.book(), "| 2@102");
}

TEST(SelfTrade, AllowTradesWithItself) {
  TestExchange exchange(with(SelfTrade::allow));
  EXPECT_THAT(prepared(exchange).buy(9, 4, 102, 7),
              ElementsAre("accepted 9", "trade 1: 9 from 1 2@100 buy", "trade 2: 9 from 2 2@101 buy"));
}

TEST(SelfTrade, DoesNotConcernOrdersOfAnUnknownAccount) {
  TestExchange exchange;
  exchange.sell(1, 2, 100);
  EXPECT_THAT(exchange.buy(2, 2, 100), ElementsAre("accepted 2", "trade 1: 2 from 1 2@100 buy"));
}

TEST(SelfTrade, FillOrKillForeseesIt) {
  TestExchange newest(with(SelfTrade::cancel_newest));
  EXPECT_THAT(prepared(newest).enter(OrderKind::fok, 9, Side::buy, 4, 102, 7),
              ElementsAre("rejected 9 would_not_fill"));
  TestExchange both(with(SelfTrade::cancel_both));
  EXPECT_THAT(prepared(both).enter(OrderKind::fok, 9, Side::buy, 4, 102, 7), ElementsAre("rejected 9 would_not_fill"));
  TestExchange oldest(with(SelfTrade::cancel_oldest));
  EXPECT_THAT(prepared(oldest).enter(OrderKind::fok, 9, Side::buy, 4, 102, 7),
              ElementsAre("accepted 9", "trade 1: 9 from 1 2@100 buy", "cancelled 2 2 self_trade",
                          "trade 2: 9 from 3 2@102 buy"));
  TestExchange oldest_short(with(SelfTrade::cancel_oldest));
  EXPECT_THAT(prepared(oldest_short).enter(OrderKind::fok, 9, Side::buy, 5, 102, 7),
              ElementsAre("rejected 9 would_not_fill"));
}

TEST(SelfTrade, EndsAReplacedOrderLikeAnArrivingOne) {
  TestExchange exchange;
  exchange.sell(1, 2, 101, 7);
  exchange.buy(2, 3, 100, 7);
  EXPECT_THAT(exchange.replace(2, 3, 101, 7), ElementsAre("replaced 2 3@101 moved", "cancelled 2 3 self_trade"));
  EXPECT_EQ(exchange.book(), "| 2@101");
}

TEST(SelfTrade, IsNotPreventedInAnAuction) {
  auto config = mill();
  config.phase = Phase::auction;
  TestExchange exchange(config);
  exchange.sell(1, 2, 100, 7);
  exchange.buy(2, 2, 100, 7);
  EXPECT_THAT(exchange.phase(Phase::continuous), ElementsAre("continuous 2@100", "trade 1: 2 from 1 2@100 none"));
}

}  // namespace
}  // namespace millrace::matching
