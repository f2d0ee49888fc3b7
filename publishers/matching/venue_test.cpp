// Proves what subscribers see of an order's life: which events, with which fields, in which order.
#include "publishers/matching/venue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publishers/matching/test_venue.hpp"
#include "schemas/market_l2.hpp"

namespace millrace::matching {
namespace {

using schemas::OrderEventKind;
using schemas::OrderReason;
using schemas::Side;
using ::testing::ElementsAre;

class VenueTest : public ::testing::Test {
 protected:
  // "accepted", "rejected off_tick", "trade 7-1 bob ann 3@10000", "book".
  std::vector<std::string> apply(const TestCommand& command) {
    venue_->apply(*command, {++number_, WallTime{1000}});
    std::vector<std::string> texts;
    for (const auto& output : venue_->outputs()) texts.push_back(std::visit(*this, output));
    return texts;
  }

 public:
  std::string operator()(const Trade& trade) {
    static const schemas::EventTemplate<schemas::TradeEvent> fresh;
    std::vector<std::byte> bytes(fresh.size());
    auto* const event = fresh.instantiate(bytes);
    venue_->write(trade, *event);
    return "trade " + std::string(text(event->trade_id())) + " " + std::string(text(event->buyer_account())) + " " +
           std::string(text(event->seller_account())) + " " + std::to_string(event->quantity()) + "@" +
           std::to_string(event->price());
  }
  std::string operator()(const OrderReport& report) {
    last_ = report;
    const std::string reason = schemas::EnumNameOrderReason(report.reason);
    return schemas::EnumNameOrderEventKind(report.kind) + (reason == "none" ? "" : " " + reason);
  }
  std::string operator()(const DepthChanged&) const { return "book"; }

 protected:
  std::unique_ptr<Venue> venue_ = open_venue({mill_config()});
  InputNumber number_;
  OrderReport last_;
};

TEST_F(VenueTest, BeginsWithAnEmptyBookOfEachInstrument) {
  ASSERT_EQ(venue_->outputs().size(), 1u);
  EXPECT_TRUE(std::holds_alternative<DepthChanged>(venue_->outputs()[0]));
}

TEST_F(VenueTest, ATradeComesAfterTheAcceptanceAndBeforeTheBook) {
  EXPECT_THAT(apply(TestCommand::enter(Side::sell, 5, 100'00, "ann", 1)), ElementsAre("accepted", "book"));
  EXPECT_THAT(apply(TestCommand::enter(Side::buy, 3, 100'00, "bob", 2)),
              ElementsAre("accepted", "trade 7-1 bob ann 3@10000", "book"));
  const schemas::EventTemplate<schemas::MarketL2> fresh;
  std::vector<std::byte> bytes(fresh.size());
  auto* const event = fresh.instantiate(bytes);
  venue_->write(std::get<DepthChanged>(venue_->outputs()[2]), *event);
  EXPECT_EQ(event->asks()->levels()->Get(0)->quantity(), 2);
  EXPECT_EQ(event->checksum(), schemas::levels_checksum(*event->bids(), *event->asks()));
  EXPECT_EQ(event->valid_at(), 2u);
  EXPECT_EQ(event->trade_count(), 1u);
  EXPECT_EQ(event->traded_quantity(), 3);
  EXPECT_EQ(event->last_price(), 100'00);
}

TEST_F(VenueTest, AnOrderIsCancelledByTheNameItsOwnerGaveIt) {
  (void)apply(TestCommand::enter(Side::buy, 5, 99'00, "ann", 0, "first"));
  EXPECT_EQ(last_.order, Venue::kFirstGivenOrder) << "the engine numbers what comes without a number";
  EXPECT_THAT(apply(TestCommand::enter(Side::buy, 5, 99'00, "ann", 0, "first")),
              ElementsAre("rejected duplicate_order"));
  TestCommand cancel(schemas::OrderAction::cancel);
  schemas::set_text(cancel->mutable_client_order_id(), "first");
  schemas::set_text(cancel->mutable_account(), "bob");
  EXPECT_THAT(apply(cancel), ElementsAre("rejected unknown_order")) << "bob has no order of that name";
  schemas::set_text(cancel->mutable_account(), "ann");
  EXPECT_THAT(apply(cancel), ElementsAre("cancelled requested", "book"));
  EXPECT_EQ(last_.order, Venue::kFirstGivenOrder);
  EXPECT_EQ(schemas::text(last_.client_order_id), "first");
  EXPECT_EQ(last_.price.mantissa, 99'00);
  EXPECT_EQ(last_.remaining, 5);
  EXPECT_THAT(apply(cancel), ElementsAre("rejected unknown_order"));
}

TEST_F(VenueTest, OnlyItsOwnerCancelsAnOrder) {
  (void)apply(TestCommand::enter(Side::buy, 5, 99'00, "ann", 1));
  TestCommand cancel(schemas::OrderAction::cancel, "MILL", "never seen");
  cancel->mutate_order_id(1);
  EXPECT_THAT(apply(cancel), ElementsAre("rejected not_permitted"));
}

TEST_F(VenueTest, ARejectionEchoesTheCommand) {
  auto order = TestCommand::enter(Side::buy, 5, 1005, "ann", 0, "mine");
  order->mutate_price_scale(3);
  EXPECT_THAT(apply(order), ElementsAre("rejected bad_price"));
  EXPECT_EQ(last_.order, OrderId(0));
  EXPECT_EQ(last_.price.mantissa, 1005);
  EXPECT_EQ(last_.price.scale, 3);
  EXPECT_EQ(schemas::text(last_.client_order_id), "mine");
  EXPECT_THAT(apply(TestCommand(schemas::OrderAction::cancel, "NONE")), ElementsAre("rejected unknown_instrument"));
  EXPECT_EQ(schemas::text(last_.instrument), "NONE");
}

TEST_F(VenueTest, AFilledOrdersNameAndNumberAreFreeAgain) {
  (void)apply(TestCommand::enter(Side::sell, 5, 100'00, "ann", 1, "mine"));
  (void)apply(TestCommand::enter(Side::buy, 5, 100'00, "bob", 2));
  EXPECT_THAT(apply(TestCommand::enter(Side::sell, 5, 100'00, "ann", 1, "mine")), ElementsAre("accepted", "book"));
}

TEST_F(VenueTest, AReplacedOrderIsReportedAsItIsAfterwards) {
  (void)apply(TestCommand::enter(Side::sell, 5, 100'00, "ann", 1));
  (void)apply(TestCommand::enter(Side::buy, 2, 100'00, "bob", 2));
  TestCommand replace(schemas::OrderAction::replace);
  replace->mutate_order_id(1);
  replace->mutate_price(101'00);
  replace->mutate_quantity(4);
  EXPECT_THAT(apply(replace), ElementsAre("replaced", "book"));
  EXPECT_EQ(last_.quantity.mantissa, 4);
  EXPECT_EQ(last_.remaining, 2);
  EXPECT_EQ(last_.price.mantissa, 101'00);
  EXPECT_EQ(last_.previous, OrderId(1));
}

TEST_F(VenueTest, AnAuctionEndsForAllInstrumentsAndTheCloseExpiresTheRest) {
  TestCommand phase(schemas::OrderAction::set_phase, "");
  phase->mutate_phase(schemas::Phase::auction);
  EXPECT_THAT(apply(phase), ElementsAre("book")) << "the phase stands in market_l2";
  (void)apply(TestCommand::enter(Side::sell, 5, 100'00, "ann", 1));
  (void)apply(TestCommand::enter(Side::buy, 3, 100'00, "bob", 2));
  phase->mutate_phase(schemas::Phase::closed);
  EXPECT_THAT(apply(phase), ElementsAre("trade 7-1 bob ann 3@10000", "expired end_of_day", "book"));
  EXPECT_EQ(last_.order, OrderId(1));
  EXPECT_EQ(last_.remaining, 2);
  EXPECT_THAT(apply(TestCommand::enter(Side::buy, 3, 100'00, "bob", 3)), ElementsAre("rejected wrong_phase"));
}

}  // namespace
}  // namespace millrace::matching
