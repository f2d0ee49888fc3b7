// Proves the price of the call auction, each tie rule by an example, and how orders are filled and carried over.
#include "publishers/matching/auction.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publishers/matching/test_exchange.hpp"

namespace millrace::matching {
namespace {

using testing::ElementsAre;

InstrumentConfig auction(std::int64_t reference = 100, std::int64_t tick = 1) {
  auto config = mill();
  config.phase = Phase::auction;
  config.reference = Price{reference};
  config.tick = Price{tick};
  return config;
}

Uncross uncross(std::int64_t price, std::int64_t volume, std::int64_t surplus) {
  return {Price{price}, Quantity{volume}, Quantity{surplus}};
}

TEST(Auction, CollectsWithoutTradingAndShowsTheIndicativePrice) {
  TestExchange exchange(auction());
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), std::nullopt);
  exchange.buy(1, 5, 102);
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), std::nullopt);
  EXPECT_THAT(exchange.sell(2, 5, 98), ElementsAre("accepted 2"));
  EXPECT_EQ(exchange.book(), "5@102 | 5@98") << "crossed";
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(100, 5, 0));
}

TEST(Auction, TakesThePriceOfMostVolume) {
  TestExchange exchange(auction());
  exchange.buy(1, 10, 105);
  exchange.buy(2, 10, 103);
  exchange.buy(3, 10, 101);
  exchange.sell(4, 12, 100);
  exchange.sell(5, 7, 102);
  exchange.sell(6, 20, 104);
  // Of 20 wanted at 102 and 103 there are 19 to be had; 101 gives only 12, 104 only 10. At 102 a buyer of 103 goes
  // short.
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(103, 19, 1));
}

TEST(Auction, BreaksTiesByTheLeastSurplus) {
  TestExchange exchange(auction(90));
  exchange.buy(1, 10, 101);
  exchange.buy(2, 5, 100);
  exchange.sell(3, 10, 100);
  // 10 trade at either price, at 101 nobody is left over: the reference does not count.
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(101, 10, 0));
}

TEST(Auction, BreaksTiesInSurplusByTheNearestReference) {
  // 10 trade with a surplus of 5 at either: buyers at 100, sellers at 101.
  for (const auto& [reference, price] : {std::pair{99, 100}, {100, 100}, {101, 101}, {150, 101}}) {
    TestExchange exchange(auction(reference));
    exchange.buy(1, 10, 101);
    exchange.buy(2, 5, 100);
    exchange.sell(3, 10, 100);
    exchange.sell(4, 5, 101);
    EXPECT_EQ(exchange.engine.indicative(exchange.instrument)->price, Price{price}) << reference;
    EXPECT_EQ(exchange.engine.indicative(exchange.instrument)->volume, Quantity{10});
  }
}

TEST(Auction, LeavesNoBetterPricedOrderShortWhateverTheReference) {
  // Buyers have 3 too many at any of these prices; only at 101 are those who go short not willing to pay more.
  TestExchange buyers(auction(99));
  buyers.buy(1, 13, 101);
  buyers.sell(2, 10, 99);
  EXPECT_EQ(buyers.engine.indicative(buyers.instrument), uncross(101, 10, 3));

  TestExchange sellers(auction(101));
  sellers.buy(1, 10, 101);
  sellers.sell(2, 13, 99);
  EXPECT_EQ(sellers.engine.indicative(sellers.instrument), uncross(99, 10, -3));
}

TEST(Auction, TakesTheLowestOfTiedPricesWithoutAReference) {
  auto config = auction(0, 4);
  TestExchange exchange(config);
  exchange.buy(1, 10, 8);
  exchange.buy(2, 5, 4);
  exchange.sell(3, 10, 4);
  exchange.sell(4, 5, 8);
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(4, 10, 5));
}

TEST(Auction, PrefersAPriceBetweenTheOrdersWhenNothingIsLeftOverThere) {
  for (const auto& [reference, price] : {std::pair{0, 99}, {90, 99}, {103, 103}, {120, 105}}) {
    TestExchange exchange(auction(reference));
    exchange.buy(1, 10, 106);
    exchange.buy(2, 5, 98);
    exchange.sell(3, 10, 98);
    exchange.sell(4, 5, 106);
    EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(price, 10, 0)) << reference;
  }
}

TEST(Auction, KeepsToTheTickBetweenTheOrders) {
  TestExchange exchange(auction(105, 5));
  exchange.buy(1, 10, 110);
  exchange.sell(2, 10, 100);
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(105, 10, 0));
}

TEST(Auction, FillsInPriceTimeOrderAtOnePriceAndCarriesTheRestOver) {
  TestExchange exchange(auction());
  exchange.buy(1, 5, 101);
  exchange.buy(2, 5, 101);
  exchange.buy(3, 3, 103);
  exchange.sell(4, 6, 99);
  exchange.sell(5, 4, 98);
  exchange.sell(6, 4, 105);
  EXPECT_THAT(exchange.phase(Phase::continuous),
              ElementsAre("continuous 10@101", "trade 1: 3 from 5 3@101 none", "trade 2: 1 from 5 1@101 none",
                          "trade 3: 1 from 4 4@101 none", "trade 4: 2 from 4 2@101 none"));
  EXPECT_EQ(exchange.book(), "3@101 | 4@105");
  EXPECT_THAT(exchange.sell(7, 3, 101), ElementsAre("accepted 7", "trade 5: 2 from 7 3@101 sell"));
}

TEST(Auction, TakesOnlyLimitOrders) {
  TestExchange exchange(auction());
  exchange.sell(1, 5, 100);
  for (const auto kind : {OrderKind::market, OrderKind::ioc, OrderKind::fok, OrderKind::post_only}) {
    EXPECT_THAT(exchange.enter(kind, 2, Side::buy, 5, 100), ElementsAre("rejected 2 not_in_auction"));
  }
}

TEST(Auction, CancelsAndReplacesWithoutTrading) {
  TestExchange exchange(auction());
  exchange.sell(1, 5, 100);
  exchange.buy(2, 5, 99);
  EXPECT_THAT(exchange.replace(2, 5, 100), ElementsAre("replaced 2 5@100 moved"));
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), uncross(100, 5, 0));
  EXPECT_THAT(exchange.cancel(1), ElementsAre("cancelled 1 5 requested"));
  EXPECT_EQ(exchange.engine.indicative(exchange.instrument), std::nullopt);
}

TEST(Auction, UncrossesWhenTheDayCloses) {
  TestExchange exchange;
  exchange.phase(Phase::auction);
  exchange.buy(1, 5, 102);
  exchange.sell(2, 4, 98);
  EXPECT_THAT(exchange.phase(Phase::closed, 101), ElementsAre("closed 4@102", "trade 1: 1 from 2 4@102 none"))
      << "a buyer who would pay 102 is left over, so that it cannot be less";
}

TEST(Auction, KeepsACrossedBookThroughAHalt) {
  TestExchange exchange(auction());
  exchange.buy(1, 5, 102);
  exchange.sell(2, 5, 98);
  EXPECT_THAT(exchange.phase(Phase::halted), ElementsAre("halted 0@0"));
  EXPECT_EQ(exchange.book(), "5@102 | 5@98");
  EXPECT_THAT(exchange.phase(Phase::continuous), ElementsAre("continuous 5@100", "trade 1: 1 from 2 5@100 none"));
}

TEST(Auction, RefusesAReferenceOffTheTickAndThenChangesNothing) {
  TestExchange exchange(auction(100, 5));
  EXPECT_THAT(exchange.phase(Phase::continuous, 101), ElementsAre("rejected 0 bad_tick"));
  EXPECT_THAT(exchange.phase(Phase::continuous, -5), ElementsAre("rejected 0 price_out_of_range"));
  EXPECT_EQ(exchange.engine.instrument(exchange.instrument).phase, Phase::auction);
}

}  // namespace
}  // namespace millrace::matching
