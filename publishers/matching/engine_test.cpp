// Proves, by worked examples, what each kind of order, each command and each reason for rejection leads to.
#include "publishers/matching/engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "publishers/matching/test_exchange.hpp"

namespace millrace::matching {
namespace {

using testing::ElementsAre;

constexpr auto kHuge = std::numeric_limits<std::int64_t>::max();
constexpr auto kLowest = std::numeric_limits<std::int64_t>::min();

TEST(Engine, RestsALimitOrderThatCrossesNothing) {
  TestExchange exchange;
  EXPECT_THAT(exchange.buy(1, 5, 100), ElementsAre("accepted 1"));
  EXPECT_THAT(exchange.sell(2, 4, 101), ElementsAre("accepted 2"));
  EXPECT_EQ(exchange.book(), "5@100 | 4@101");
}

TEST(Engine, TradesBestPriceFirstThenOldestFirstAtTheMakersPrice) {
  TestExchange exchange;
  exchange.sell(1, 2, 102);
  exchange.sell(2, 3, 101);
  exchange.sell(3, 4, 101);
  EXPECT_THAT(exchange.buy(9, 8, 103), ElementsAre("accepted 9", "trade 1: 9 from 2 3@101 buy",
                                                   "trade 2: 9 from 3 4@101 buy", "trade 3: 9 from 1 1@102 buy"));
  EXPECT_EQ(exchange.book(), "| 1@102");
}

TEST(Engine, RestsWhatALimitOrderCouldNotTrade) {
  TestExchange exchange;
  exchange.buy(1, 2, 100);
  EXPECT_THAT(exchange.sell(2, 5, 99), ElementsAre("accepted 2", "trade 1: 1 from 2 2@100 sell"));
  EXPECT_EQ(exchange.book(), "| 3@99");
}

TEST(Engine, NamesMakerTakerAccountsAndWhatRemainsInATrade) {
  TestExchange exchange;
  exchange.buy(1, 5, 100, 11);
  exchange.sell(2, 2, 100, 22);
  const auto& trade = std::get<Trade>(exchange.recorder.events.at(1));
  EXPECT_EQ(trade.maker(), (Party{OrderId(1), AccountId(11), Quantity{3}}));
  EXPECT_EQ(trade.taker(), (Party{OrderId(2), AccountId(22), Quantity{0}}));
  EXPECT_EQ(trade.head, (EventHead{InputNumber(2), 1, exchange.instrument, WallTime{2000}}));
}

TEST(Engine, NumbersTheEventsOfEachInputFromZeroAndTellsOfTheBookLast) {
  TestExchange exchange;
  exchange.sell(1, 1, 100);
  exchange.sell(2, 1, 100);
  exchange.buy(3, 3, 100);
  const auto& events = exchange.recorder.events;
  ASSERT_EQ(events.size(), 4u);
  for (std::uint32_t i = 0; i < 4; ++i) {
    const auto head = std::visit([](const auto& event) { return event.head; }, events[i]);
    EXPECT_EQ(head, (EventHead{InputNumber(3), i, exchange.instrument, WallTime{3000}}));
  }
  EXPECT_EQ(std::get<BookChanged>(events[3]).sequence, BookSequence(3));
  EXPECT_EQ(exchange.engine.depth(exchange.instrument).sequence, BookSequence(3));
}

TEST(Engine, TellsOfNoBookChangeBelowTheTenthLevel) {
  TestExchange exchange;
  for (std::uint64_t i = 0; i < 10; ++i) exchange.buy(i + 1, 1, 100 - static_cast<std::int64_t>(i));
  exchange.buy(11, 1, 90);
  EXPECT_EQ(exchange.recorder.events.size(), 1u) << "accepted only";
  exchange.cancel(11);
  EXPECT_EQ(exchange.recorder.events.size(), 1u) << "cancelled only";
  exchange.buy(12, 1, 91);
  EXPECT_EQ(exchange.recorder.events.size(), 2u) << "the tenth level grew";
}

TEST(Engine, ExpiresWhatAMarketOrderFindsNoCounterpartFor) {
  TestExchange exchange;
  exchange.sell(1, 2, 100);
  exchange.sell(2, 2, 5000);
  EXPECT_THAT(
      exchange.enter(OrderKind::market, 3, Side::buy, 5, 0),
      ElementsAre("accepted 3", "trade 1: 3 from 1 2@100 buy", "trade 2: 3 from 2 2@5000 buy", "expired 3 1 unfilled"));
  EXPECT_THAT(exchange.enter(OrderKind::market, 4, Side::buy, 5, 0), ElementsAre("rejected 4 no_liquidity"));
  EXPECT_EQ(exchange.book(), "|");
}

TEST(Engine, SellsAtMarketDownToTheLowestPrice) {
  TestExchange exchange;
  exchange.buy(1, 2, 1);
  EXPECT_THAT(exchange.enter(OrderKind::market, 2, Side::sell, 2, 0),
              ElementsAre("accepted 2", "trade 1: 1 from 2 2@1 sell"));
}

TEST(Engine, NeverRestsAnImmediateOrCancelOrder) {
  TestExchange exchange;
  exchange.sell(1, 2, 100);
  EXPECT_THAT(exchange.enter(OrderKind::ioc, 2, Side::buy, 5, 100),
              ElementsAre("accepted 2", "trade 1: 2 from 1 2@100 buy", "expired 2 3 unfilled"));
  EXPECT_THAT(exchange.enter(OrderKind::ioc, 3, Side::buy, 5, 100), ElementsAre("accepted 3", "expired 3 5 unfilled"));
  EXPECT_EQ(exchange.book(), "|");
}

TEST(Engine, FillsAFillOrKillOrderWhollyOrRejectsIt) {
  TestExchange exchange;
  exchange.sell(1, 2, 100);
  exchange.sell(2, 2, 101);
  exchange.sell(3, 9, 102);
  EXPECT_THAT(exchange.enter(OrderKind::fok, 4, Side::buy, 5, 101), ElementsAre("rejected 4 would_not_fill"));
  EXPECT_EQ(exchange.book(), "| 2@100 2@101 9@102");
  EXPECT_THAT(exchange.enter(OrderKind::fok, 5, Side::buy, 4, 101),
              ElementsAre("accepted 5", "trade 1: 5 from 1 2@100 buy", "trade 2: 5 from 2 2@101 buy"));
}

TEST(Engine, RejectsAPostOnlyOrderThatWouldTrade) {
  TestExchange exchange;
  exchange.sell(1, 2, 100);
  EXPECT_THAT(exchange.enter(OrderKind::post_only, 2, Side::buy, 1, 100), ElementsAre("rejected 2 would_cross"));
  EXPECT_THAT(exchange.enter(OrderKind::post_only, 3, Side::buy, 1, 99), ElementsAre("accepted 3"));
  EXPECT_THAT(exchange.replace(3, 1, 100), ElementsAre("rejected 3 would_cross"));
  EXPECT_EQ(exchange.book(), "1@99 | 2@100");
}

TEST(Engine, CancelsOnlyForTheOwner) {
  TestExchange exchange;
  exchange.buy(1, 5, 100, 7);
  EXPECT_THAT(exchange.cancel(1, 8), ElementsAre("rejected 1 not_owner"));
  EXPECT_THAT(exchange.replace(1, 4, 100, 8), ElementsAre("rejected 1 not_owner"));
  EXPECT_THAT(exchange.cancel(1, 7), ElementsAre("cancelled 1 5 requested"));
  EXPECT_THAT(exchange.cancel(1, 7), ElementsAre("rejected 1 unknown_order"));
  EXPECT_EQ(exchange.book(), "|");
}

TEST(Engine, KeepsPriorityOnAReductionOnly) {
  TestExchange exchange;
  exchange.buy(1, 5, 100);
  exchange.buy(2, 5, 100);
  exchange.buy(3, 5, 100);
  EXPECT_THAT(exchange.replace(1, 4, 100), ElementsAre("replaced 1 4@100 kept"));
  EXPECT_THAT(exchange.replace(2, 6, 100), ElementsAre("replaced 2 6@100 moved"));
  EXPECT_EQ(exchange.book(), "15@100 |");
  EXPECT_THAT(exchange.sell(9, 15, 100), ElementsAre("accepted 9", "trade 1: 1 from 9 4@100 sell",
                                                     "trade 2: 3 from 9 5@100 sell", "trade 3: 2 from 9 6@100 sell"));
}

TEST(Engine, TradesAReplacedOrderThatNowCrosses) {
  TestExchange exchange;
  exchange.buy(1, 5, 99);
  exchange.sell(2, 3, 100);
  EXPECT_THAT(exchange.replace(1, 5, 100), ElementsAre("replaced 1 5@100 moved", "trade 1: 1 from 2 3@100 buy"));
  EXPECT_EQ(exchange.book(), "2@100 |");
}

TEST(Engine, CountsFillsAgainstTheNewQuantityOfAReplace) {
  TestExchange exchange;
  exchange.buy(1, 5, 100);
  exchange.sell(2, 3, 100);
  EXPECT_THAT(exchange.replace(1, 3, 100), ElementsAre("rejected 1 already_filled"));
  EXPECT_THAT(exchange.replace(1, 4, 100), ElementsAre("replaced 1 1@100 kept"));
  EXPECT_THAT(exchange.replace(1, 10, 101), ElementsAre("replaced 1 7@101 moved"));
  EXPECT_EQ(exchange.book(), "7@101 |");
}

TEST(Engine, RejectsWhatIsNotOnTheGridOrOutOfRange) {
  auto config = mill();
  config.tick = Price{5};
  config.lot = Quantity{10};
  config.price_min = Price{50};
  config.price_max = Price{200};
  config.quantity_max = Quantity{1000};
  TestExchange exchange(config);
  EXPECT_THAT(exchange.buy(1, 10, 101), ElementsAre("rejected 1 bad_tick"));
  EXPECT_THAT(exchange.buy(1, 15, 100), ElementsAre("rejected 1 bad_lot"));
  for (const std::int64_t price : {45L, 205L, 0L, -100L, kHuge, kLowest}) {
    EXPECT_THAT(exchange.buy(1, 10, price), ElementsAre("rejected 1 price_out_of_range")) << price;
  }
  for (const std::int64_t quantity : {0L, -10L, 1010L, kHuge, kLowest}) {
    EXPECT_THAT(exchange.buy(1, quantity, 100), ElementsAre("rejected 1 quantity_out_of_range")) << quantity;
    EXPECT_THAT(exchange.enter(OrderKind::market, 1, Side::sell, quantity, 0),
                ElementsAre("rejected 1 quantity_out_of_range"));
  }
  exchange.buy(1, 20, 100);
  EXPECT_THAT(exchange.replace(1, 20, 102), ElementsAre("rejected 1 bad_tick"));
  EXPECT_THAT(exchange.replace(1, 15, 100), ElementsAre("rejected 1 bad_lot"));
  EXPECT_THAT(exchange.replace(1, kHuge, 100), ElementsAre("rejected 1 quantity_out_of_range"));
  EXPECT_THAT(exchange.replace(1, 20, kLowest), ElementsAre("rejected 1 price_out_of_range"));
  EXPECT_EQ(exchange.book(), "20@100 |");
}

TEST(Engine, SumsTheLargestOrdersWithoutOverflow) {
  TestExchange exchange;
  for (std::uint64_t i = 1; i <= 3; ++i) exchange.buy(i, kQuantityMax.units, kPriceMax.units);
  EXPECT_EQ(exchange.engine.depth(exchange.instrument).bids()[0].quantity, Quantity{3 * kQuantityMax.units});
  EXPECT_THAT(exchange.enter(OrderKind::market, 4, Side::sell, 1, 0),
              ElementsAre("accepted 4", "trade 1: 1 from 4 1@" + std::to_string(kPriceMax.units) + " sell"));
}

TEST(Engine, RejectsUnknownInstrumentsMalformedAndDuplicateOrders) {
  TestExchange exchange;
  exchange.buy(1, 5, 100);
  EXPECT_THAT(exchange.buy(1, 5, 101), ElementsAre("rejected 1 duplicate_order"));
  EXPECT_THAT(exchange.buy(0, 5, 101), ElementsAre("rejected 0 malformed"));
  EXPECT_THAT(exchange.enter(static_cast<OrderKind>(5), 2, Side::buy, 5, 100), ElementsAre("rejected 2 malformed"));
  EXPECT_THAT(exchange.enter(OrderKind::limit, 2, static_cast<Side>(2), 5, 100), ElementsAre("rejected 2 malformed"));
  EXPECT_THAT(exchange.phase(static_cast<Phase>(4)), ElementsAre("rejected 0 malformed"));
  EXPECT_EQ(exchange.book(), "5@100 |");

  exchange.instrument = InstrumentId(1);
  EXPECT_THAT(exchange.buy(2, 5, 100), ElementsAre("rejected 2 unknown_instrument"));
  EXPECT_THAT(exchange.cancel(1), ElementsAre("rejected 1 unknown_instrument"));
  EXPECT_THAT(exchange.replace(1, 5, 100), ElementsAre("rejected 1 unknown_instrument"));
  EXPECT_THAT(exchange.phase(Phase::halted), ElementsAre("rejected 0 unknown_instrument"));
  EXPECT_THAT(exchange.apply(ExpireOrders{InstrumentId(UINT64_MAX)}), ElementsAre("rejected 0 unknown_instrument"));
}

TEST(Engine, TakesAnIdAgainOnceItsOrderIsGone) {
  TestExchange exchange;
  exchange.buy(1, 5, 100);
  exchange.cancel(1);
  EXPECT_THAT(exchange.sell(1, 2, 100), ElementsAre("accepted 1"));
  EXPECT_EQ(exchange.book(), "| 2@100");
}

TEST(Engine, RejectsMoreRestingOrdersThanConfigured) {
  auto config = mill();
  config.orders_max = 2;
  TestExchange exchange(config);
  exchange.buy(1, 1, 100);
  exchange.buy(2, 1, 100);
  EXPECT_THAT(exchange.buy(3, 1, 100), ElementsAre("rejected 3 book_full"));
  EXPECT_THAT(exchange.enter(OrderKind::ioc, 4, Side::sell, 1, 100),
              ElementsAre("accepted 4", "trade 1: 1 from 4 1@100 sell"));
  EXPECT_THAT(exchange.buy(5, 1, 100), ElementsAre("accepted 5"));
}

TEST(Engine, AllowsOnlyCancelsWhileHaltedOrClosed) {
  TestExchange exchange;
  exchange.buy(1, 5, 100);
  exchange.buy(2, 5, 100);
  EXPECT_THAT(exchange.phase(Phase::halted), ElementsAre("halted 0@0"));
  EXPECT_THAT(exchange.sell(3, 5, 100), ElementsAre("rejected 3 halted"));
  EXPECT_THAT(exchange.replace(1, 4, 100), ElementsAre("rejected 1 halted"));
  EXPECT_THAT(exchange.cancel(1), ElementsAre("cancelled 1 5 requested"));
  EXPECT_THAT(exchange.phase(Phase::closed), ElementsAre("closed 0@0"));
  EXPECT_THAT(exchange.sell(3, 5, 100), ElementsAre("rejected 3 closed"));
  EXPECT_THAT(exchange.cancel(2), ElementsAre("cancelled 2 5 requested"));
}

TEST(Engine, ExpiresAllOrdersInPriorityOrder) {
  TestExchange exchange;
  exchange.sell(1, 1, 105);
  exchange.sell(2, 2, 104);
  exchange.buy(3, 3, 100);
  exchange.buy(4, 4, 101);
  exchange.buy(5, 5, 101);
  EXPECT_THAT(exchange.apply(ExpireOrders{exchange.instrument}),
              ElementsAre("expired 4 4 session_end", "expired 5 5 session_end", "expired 3 3 session_end",
                          "expired 2 2 session_end", "expired 1 1 session_end"));
  EXPECT_EQ(exchange.book(), "|");
}

TEST(Engine, KeepsInstrumentsApart) {
  TestExchange exchange;
  auto config = mill();
  config.name = "RACE";
  ASSERT_EQ(exchange.engine.add_instrument(config).value(), InstrumentId(1));
  exchange.buy(1, 5, 100);
  exchange.instrument = InstrumentId(1);
  EXPECT_THAT(exchange.sell(1, 5, 100), ElementsAre("accepted 1"));
  EXPECT_EQ(exchange.book(), "| 5@100");
  EXPECT_EQ(exchange.engine.find_instrument("RACE"), InstrumentId(1));
  EXPECT_EQ(exchange.engine.find_instrument("FLUX"), std::nullopt);
}

TEST(Engine, RefusesABadConfigurationByName) {
  EventRecorder recorder;
  Engine engine(recorder);
  const auto refusal = [&](auto change) {
    auto config = mill();
    change(config);
    const auto added = engine.add_instrument(config);
    return added ? std::string("taken") : added.error().message;
  };
  EXPECT_THAT(refusal([](auto& c) { c.name = ""; }), testing::HasSubstr("1 to 16 bytes"));
  EXPECT_THAT(refusal([](auto& c) { c.name = std::string(17, 'x'); }), testing::HasSubstr("1 to 16 bytes"));
  EXPECT_THAT(refusal([](auto& c) { c.tick = Price{0}; }), testing::HasSubstr("'MILL': the tick"));
  EXPECT_THAT(refusal([](auto& c) { c.lot = Quantity{-1}; }), testing::HasSubstr("the lot"));
  EXPECT_THAT(refusal([](auto& c) { c.price_scale = 19; }), testing::HasSubstr("scale"));
  EXPECT_THAT(refusal([](auto& c) { c.price_min = Price{0}; }), testing::HasSubstr("band"));
  EXPECT_THAT(refusal([](auto& c) { c.price_max = Price{kHuge}; }), testing::HasSubstr("band"));
  EXPECT_THAT(refusal([](auto& c) { c.quantity_max = Quantity{kHuge}; }), testing::HasSubstr("quantity_max"));
  EXPECT_THAT(refusal([](auto& c) { c.orders_max = 0; }), testing::HasSubstr("orders_max"));
  EXPECT_THAT(refusal([](auto& c) { c.self_trade = static_cast<SelfTrade>(9); }), testing::HasSubstr("self_trade"));
  EXPECT_THAT(refusal([](auto& c) { c.phase = static_cast<Phase>(9); }), testing::HasSubstr("phase"));
  EXPECT_THAT(refusal([](auto& c) {
                c.tick = Price{5};
                c.reference = Price{12};
              }),
              testing::HasSubstr("multiple of the tick"));
  EXPECT_EQ(refusal([](auto&) {}), "taken");
  EXPECT_THAT(refusal([](auto&) {}), testing::HasSubstr("the name is taken"));
  EXPECT_EQ(engine.instrument_count(), 1u);
}

TEST(Engine, ShowsItsWholeStateInPriorityOrder) {
  TestExchange exchange;
  exchange.buy(1, 1, 100);
  exchange.buy(2, 1, 101);
  exchange.buy(3, 1, 100);
  exchange.sell(4, 1, 103);
  std::vector<std::uint64_t> order;
  const auto& book = exchange.engine.instrument(exchange.instrument).book;
  for (const auto side : {Side::buy, Side::sell}) {
    book.for_each(side, [&](const RestingOrder& resting) { order.push_back(resting.id.value()); });
  }
  EXPECT_THAT(order, ElementsAre(2, 1, 3, 4));
}

// Names are what people and JSON see.
TEST(Engine, NamesEveryReason) {
  EXPECT_EQ(to_string(RejectReason::unknown_instrument), "unknown_instrument");
  EXPECT_EQ(to_string(RejectReason::book_full), "book_full");
  EXPECT_EQ(to_string(RejectReason::no_liquidity), "no_liquidity");
  EXPECT_EQ(to_string(static_cast<RejectReason>(17)), "?");
  EXPECT_EQ(to_string(OrderKind::post_only), "post_only");
  EXPECT_EQ(to_string(CommandKind::expire), "expire");
  EXPECT_EQ(to_string(Phase::closed), "closed");
}

}  // namespace
}  // namespace millrace::matching
