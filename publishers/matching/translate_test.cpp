// Proves that the words and numbers of an order command mean to the engine what they say, or are refused with the right
// reason, and that a command of the engine survives the way onto the bus and back.
#include "publishers/matching/translate.hpp"

#include <gtest/gtest.h>

#include "publishers/matching/order_flow.hpp"
#include "publishers/matching/test_venue.hpp"

namespace millrace::matching {
namespace {

using schemas::OrderReason;

class TranslateTest : public ::testing::Test {
 protected:
  std::variant<Command, OrderReason> translate(const TestCommand& command) const {
    return to_command(*command, {InstrumentId(3), &config_, OrderId(9), AccountId(4)});
  }

  InstrumentConfig config_ = mill_config();
  TestCommand order_ = TestCommand::enter(schemas::Side::buy, 5, 100'00, "ann");
};

TEST(Exactly, KeepsTheValueOrSaysThatItCannot) {
  EXPECT_EQ(exactly({125, 1}, 2), 1250);
  EXPECT_EQ(exactly({12500, 4}, 2), 125);
  EXPECT_EQ(exactly({-12500, 4}, 2), -125);
  EXPECT_EQ(exactly({0, 255}, 0), 0);
  EXPECT_EQ(exactly({12501, 4}, 2), std::nullopt);
  EXPECT_EQ(exactly({INT64_MAX, 0}, 1), std::nullopt);
}

TEST_F(TranslateTest, AnOrderIsTakenAtTheInstrumentsScales) {
  order_->mutate_price(100'0000);
  order_->mutate_price_scale(4);
  order_->mutate_quantity(500);
  order_->mutate_quantity_scale(2);
  EXPECT_EQ(std::get<Command>(translate(order_)), Command(NewOrder{InstrumentId(3), OrderId(9), AccountId(4), Side::buy,
                                                                   OrderKind::limit, Price{100'00}, Quantity{5}}));
}

TEST_F(TranslateTest, ANumberThatIsNotExactIsRefused) {
  order_->mutate_price(100'005);
  order_->mutate_price_scale(3);
  EXPECT_EQ(std::get<OrderReason>(translate(order_)), OrderReason::bad_price);
  order_->mutate_price_scale(2);
  order_->mutate_quantity_scale(1);
  EXPECT_EQ(std::get<OrderReason>(translate(order_)), OrderReason::bad_quantity);
}

TEST_F(TranslateTest, TheTermsOfAnOrderNameItsKind) {
  using schemas::OrderType;
  using schemas::TimeInForce;
  const auto kind = [&](OrderType type, TimeInForce tif, bool post_only) -> std::optional<OrderKind> {
    order_->mutate_type(type);
    order_->mutate_time_in_force(tif);
    order_->mutate_post_only(post_only);
    const auto translated = translate(order_);
    if (const auto* const reason = std::get_if<OrderReason>(&translated)) {
      EXPECT_EQ(*reason, OrderReason::unsupported);
      return std::nullopt;
    }
    return std::get<NewOrder>(std::get<Command>(translated)).kind;
  };
  EXPECT_EQ(kind(OrderType::limit, TimeInForce::day, false), OrderKind::limit);
  EXPECT_EQ(kind(OrderType::limit, TimeInForce::day, true), OrderKind::post_only);
  EXPECT_EQ(kind(OrderType::limit, TimeInForce::immediate_or_cancel, false), OrderKind::ioc);
  EXPECT_EQ(kind(OrderType::limit, TimeInForce::fill_or_kill, false), OrderKind::fok);
  EXPECT_EQ(kind(OrderType::market, TimeInForce::day, false), OrderKind::market);
  EXPECT_EQ(kind(OrderType::limit, TimeInForce::fill_or_kill, true), std::nullopt);
  EXPECT_EQ(kind(OrderType::market, TimeInForce::fill_or_kill, false), std::nullopt);
  EXPECT_EQ(kind(OrderType{9}, TimeInForce::day, false), std::nullopt);
  EXPECT_EQ(kind(OrderType::limit, TimeInForce{9}, false), std::nullopt);
}

TEST_F(TranslateTest, WordsThatDoNotExistAreRefused) {
  order_->mutate_side(schemas::Side::none);
  EXPECT_EQ(std::get<OrderReason>(translate(order_)), OrderReason::unsupported);
  order_->mutate_side(schemas::Side::buy);
  order_->mutate_self_trade(schemas::SelfTrade::cancel_resting);
  EXPECT_EQ(std::get<OrderReason>(translate(order_)), OrderReason::unsupported) << "the instrument cancels the newest";
  order_->mutate_self_trade(schemas::SelfTrade::cancel_incoming);
  EXPECT_TRUE(std::holds_alternative<Command>(translate(order_)));
  order_->mutate_action(schemas::OrderAction{99});
  EXPECT_EQ(std::get<OrderReason>(translate(order_)), OrderReason::unsupported);
}

TEST(WriteCommand, EveryGeneratedCommandComesBackFromItsEvent) {
  OrderFlow flow({.seed = 5});
  const auto instruments = demo_instruments();
  for (int i = 0; i < 20'000; ++i) {
    const auto [input, command] = flow.next();
    const auto instrument = instrument_of(command);
    const auto& config = instruments[instrument.value()];
    TestCommand event(schemas::OrderAction::enter);
    write(command, config, "a", input.time, *event.operator->());
    auto expected = command;
    if (auto* const order = std::get_if<NewOrder>(&expected); order != nullptr && order->kind == OrderKind::market) {
      order->price = Price{0};
    }
    const auto back = to_command(*event, {instrument, &config, OrderId(event->order_id()), account_of(command)});
    ASSERT_EQ(std::get<Command>(back), expected) << "command " << i;
  }
}

}  // namespace
}  // namespace millrace::matching
