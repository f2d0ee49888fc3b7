// Proves that what goes to the bus comes back from it unchanged, in order and complete, also while the bus is full.
#include "publishers/market/outlet.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "bus/base/temporary_folder.hpp"
#include "bus/testing/memory_bus.hpp"
#include "publishers/market/translate.hpp"
#include "publishers/matching/translate.hpp"
#include "schemas/market_l2.hpp"

namespace millrace::market {
namespace {

TradePrint print_of(std::uint64_t number, Aggressor aggressor) {
  TradePrint print;
  print.instrument = "BTCUSDT";
  print.scale = {8, 3};
  print.received = print.matched = {1'700'000'000'000'000'000};
  print.number = VenueNumber(number);
  print.price = Price{4'200'000'000'000};
  print.quantity = Quantity{17};
  print.aggressor = aggressor;
  print.buy_order = matching::OrderId(number + 1);
  print.sell_order = matching::OrderId(number + 2);
  return print;
}

BookView view_of(std::uint64_t valid_at) {
  BookView view{"600519", {3, 2}, {1'700'000'000'000'000'001}, valid_at, {}};
  for (std::size_t i = 0; i < TenLevels::count; ++i) {
    const auto step = static_cast<std::int64_t>(i);
    view.levels.bids[i] = {Price{1000 - step}, Quantity{10 + step}};
    if (i < 4) view.levels.asks[i] = {Price{1001 + step}, Quantity{20 + step}};
  }
  return view;
}

class MarketBusTest : public ::testing::Test {
 protected:
  testing::MemoryBusOptions options(const std::string& type) const {
    testing::MemoryBusOptions options;
    options.folder = folder_.at(type);
    options.type = type;
    options.ring_bytes = 160 * 1024;
    options.log.segment_size = 1 << 20;
    return options;
  }

  TemporaryFolder folder_;
  ManualClock clock_;
};

TEST_F(MarketBusTest, TradesAndBooksComeBackAsTheyWentWhileTheBusIsFullNowAndThen) {
  testing::MemoryBus trades(options("trade_events"), clock_);
  testing::MemoryBus books(options("market_l2"), clock_);
  const auto trade_publisher = trades.publisher("market");
  const auto book_publisher = books.publisher("market");
  auto trade_follower = trades.subscribe(millrace::Level::recorded);
  auto book_follower = books.subscribe(millrace::Level::recorded);
  ASSERT_TRUE(trade_follower && book_follower);
  MarketOutlet outlet(*trade_publisher, *book_publisher);

  constexpr std::uint64_t count = 3000;
  constexpr std::array aggressors{Aggressor::none, Aggressor::buy, Aggressor::sell};
  std::uint64_t full = 0;
  const auto publish = [&](const MarketEvent& event) {
    PublishStatus status = outlet.publish(event);
    for (; status == PublishStatus::back_pressured; status = outlet.publish(event)) {
      ++full;
      trades.step();
      books.step();
    }
    ASSERT_EQ(status, PublishStatus::ok);
  };
  std::uint64_t trades_seen = 0, books_seen = 0;
  const auto poll = [&] {
    (*trade_follower)->poll<schemas::TradeEvent>([&](const schemas::TradeEvent& event, const Event&) {
      const TradePrint expected = print_of(trades_seen, aggressors[trades_seen % aggressors.size()]);
      const TradePrint print = read(event);
      EXPECT_EQ(print.instrument, expected.instrument);
      EXPECT_EQ(print.scale, expected.scale);
      EXPECT_EQ(print.matched, expected.matched);
      EXPECT_EQ(print.number, expected.number);
      EXPECT_EQ(print.price, expected.price);
      EXPECT_EQ(print.quantity, expected.quantity);
      EXPECT_EQ(print.aggressor, expected.aggressor);
      EXPECT_EQ(print.buy_order, expected.buy_order);
      EXPECT_EQ(print.sell_order, expected.sell_order);
      ++trades_seen;
    });
    (*book_follower)->poll<schemas::MarketL2>([&](const schemas::MarketL2& event, const Event&) {
      const BookView expected = view_of(books_seen);
      const BookView view = read(event);
      EXPECT_EQ(view.instrument, expected.instrument);
      EXPECT_EQ(view.scale, expected.scale);
      EXPECT_EQ(view.time, expected.time);
      EXPECT_EQ(view.valid_at, expected.valid_at);
      EXPECT_EQ(view.levels, expected.levels);
      EXPECT_EQ(event.checksum(), schemas::levels_checksum(*event.bids(), *event.asks()));
      ++books_seen;
    });
  };
  for (std::uint64_t i = 0; i < count; ++i) {
    publish(print_of(i, aggressors[i % aggressors.size()]));
    publish(view_of(i));
    if (i % 100 == 0) poll();
  }
  EXPECT_GT(full, 0u) << "the rings are smaller than what goes through them";
  EXPECT_FALSE(outlet.recorded()) << "the last ones stand in the ring alone";
  trades.settle();
  books.settle();
  EXPECT_TRUE(outlet.recorded());
  for (std::uint64_t before = UINT64_MAX; before != trades_seen + books_seen;) {
    before = trades_seen + books_seen;
    poll();
  }
  EXPECT_EQ(trades_seen, count);
  EXPECT_EQ(books_seen, count);
}

TEST(Outlet, ABookOfNothingButItsInstrumentIsReadAsOneWithoutLevels) {
  flatbuffers::FlatBufferBuilder bytes;
  schemas::Text16 instrument;
  schemas::set_text(&instrument, "MILL");
  schemas::FinishMarketL2Buffer(bytes, schemas::CreateMarketL2(bytes, &instrument));
  const BookView view = read(*flatbuffers::GetRoot<schemas::MarketL2>(bytes.GetBufferPointer()));
  EXPECT_EQ(view.instrument, "MILL");
  EXPECT_EQ(view.levels, TenLevels());
}

TEST_F(MarketBusTest, ADayOfOrdersBeginsWithItsPhaseAndKeepsItsCommands) {
  testing::MemoryBus bus(options("orders"), clock_);
  const auto publisher = bus.publisher("market");
  auto follower = bus.subscribe(millrace::Level::recorded);
  ASSERT_TRUE(follower);
  matching::InstrumentConfig config;
  config.name = "600519";
  config.price_scale = 3;
  config.quantity_scale = 3;
  config.reference = Price{1'795'000};
  config.phase = matching::Phase::auction;
  OrderOutlet outlet(*publisher, config);
  using matching::InstrumentId, matching::OrderId;
  const matching::NewOrder order{InstrumentId(0),  OrderId(7),       {}, Side::sell, matching::OrderKind::limit,
                                 Price{1'800'000}, Quantity{100'000}};
  ASSERT_EQ(outlet.begin({1}), PublishStatus::ok);
  ASSERT_EQ(outlet.publish(order, {2}), PublishStatus::ok);
  ASSERT_EQ(outlet.publish(matching::CancelOrder{InstrumentId(0), OrderId(7), {}}, {3}), PublishStatus::ok);
  bus.settle();
  std::vector<matching::Command> commands;
  std::vector<std::int64_t> times;
  (*follower)->poll<schemas::OrderCommand>([&](const schemas::OrderCommand& event, const Event&) {
    const auto command = matching::to_command(event, {InstrumentId(0), &config, OrderId(event.order_id()), {}});
    ASSERT_TRUE(std::holds_alternative<matching::Command>(command));
    commands.push_back(std::get<matching::Command>(command));
    times.push_back(event.order_time());
  });
  ASSERT_EQ(commands.size(), 3u);
  EXPECT_EQ(commands[0], matching::Command(matching::SetPhase{InstrumentId(0), config.phase, config.reference}));
  EXPECT_EQ(commands[1], matching::Command(order));
  EXPECT_EQ(commands[2], matching::Command(matching::CancelOrder{InstrumentId(0), OrderId(7), {}}));
  EXPECT_EQ(times, (std::vector<std::int64_t>{1, 2, 3}));
}

}  // namespace
}  // namespace millrace::market
