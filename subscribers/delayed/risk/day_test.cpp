// Proves the positions and results of a whole real day: Shanghai's 600519 of one session, each order's trades given to
// an account, held against sums over the log that know no average and no cost.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "bus/daemon/test/clients.hpp"
#include "schemas/text.hpp"
#include "subscribers/delayed/risk/judge.hpp"
#include "subscribers/delayed/risk/recovery.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::delayed::risk {
namespace {

using ::millrace::testing::connect;
using ::millrace::testing::eventually;
using ::millrace::testing::Process;
using ::millrace::testing::program;
using ::millrace::testing::TestCore;

TEST(RiskDay, PositionsAndResultsOfARealDayAreWhatItsTradesAddUpTo) {
  const char* set = std::getenv("MILLRACE_DATA");
  const std::string day = std::string(set != nullptr ? set : MILLRACE_DATA_DEFAULT) + "/sse-600519/2023-02-07.log.zst";
  if (!std::filesystem::exists(day)) GTEST_SKIP() << day << " is not there; set MILLRACE_DATA";
  TestCore core("[topics.trade_events]\npublishers = 2\nring_bytes = \"10 MB\"\n");
  Process market({program("millrace-market"), "sse", day, "--instrument", "600519", "--socket", core.socket()});
  ASSERT_EQ(market.wait(std::chrono::seconds(120)), 0) << market.errors();

  const auto bus = connect(core);
  ASSERT_TRUE(bus);
  auto desk = bus->publisher("trade_events", "desk");
  ASSERT_TRUE(desk) << desk.error().message;
  auto trades = bus->subscribe("trade_events", {.level = Level::recorded, .start = StartEarliest{}});
  ASSERT_TRUE(trades);
  // Of the order's number, so that most accounts buy and sell.
  const auto account = [](std::uint64_t order) { return "A" + std::to_string(order % 41); };
  std::map<std::string, std::pair<std::int64_t, Wide>> sums;  // held, and cash, at the scales of the day
  std::uint64_t published = 0;
  std::uint8_t price_scale = 0, quantity_scale = 0;
  while (trades->poll<schemas::TradeEvent>([&](const schemas::TradeEvent& trade, const Event& at) {
    if (at.publisher == desk->id()) return;
    price_scale = trade.price_scale();
    quantity_scale = trade.quantity_scale();
    const auto buyer = account(trade.buy_order_id()), seller = account(trade.sell_order_id());
    const auto fill = [&](schemas::TradeEvent& event) {
      schemas::set_text(event.mutable_instrument(), schemas::text(trade.instrument()));
      schemas::set_text(event.mutable_buyer_account(), buyer);
      schemas::set_text(event.mutable_seller_account(), seller);
      event.mutate_price(trade.price());
      event.mutate_quantity(trade.quantity());
      event.mutate_price_scale(price_scale);
      event.mutate_quantity_scale(quantity_scale);
    };
    ASSERT_TRUE(eventually([&] { return static_cast<bool>(desk->publish<schemas::TradeEvent>(fill)); }));
    ++published;
    sums[buyer].first += trade.quantity();
    sums[buyer].second -= Wide{trade.price()} * trade.quantity();
    sums[seller].first -= trade.quantity();
    sums[seller].second += Wide{trade.price()} * trade.quantity();
  }) > 0) {
  }
  ASSERT_GT(published, 10'000u);
  ASSERT_TRUE(desk->await(Sequence(published), Ack::synced(), {std::chrono::seconds(10), 3}).status ==
              AckStatus::acknowledged);
  const Offset end(bus->subscribe("trade_events", {.level = Level::synced})->follower()->position().offset);

  std::ofstream(core.folder() + "/risk.toml") << "[defaults]\nposition = 1000\n";
  const std::string folder = core.folder() + "/snapshots";
  Process engine({program("millrace-risk"), "--socket", core.socket(), "--limits", core.folder() + "/risk.toml",
                  "--snapshots", folder, "--snapshot-seconds", "0.05"});
  std::optional<Snapshot> snapshot;
  const Offset books_end(bus->subscribe("market_l2", {.level = Level::synced})->follower()->position().offset);
  ASSERT_TRUE(eventually([&] {
    auto opened = wal::SnapshotFolder::open(wal::posix_file_system(), folder);
    if (!opened) return false;
    auto found = newest(*opened, Sequence(UINT64_MAX));
    if (!found || !*found) return false;
    snapshot = std::move(*found);
    return snapshot->memory.state.trades_read.end == end && snapshot->memory.state.books_read.end == books_end;
  })) << engine.errors();

  const State& state = snapshot->memory.state;
  const auto mid = state.books.mid("600519");
  std::int64_t bid = 0, ask = 0;
  auto books = bus->subscribe("market_l2", {.level = Level::synced, .start = StartEarliest{}});
  ASSERT_TRUE(books);
  while (books->poll<schemas::MarketL2>([&](const schemas::MarketL2& book, const Event&) {
    bid = book.bids()->levels()->Get(0)->price();
    ask = book.asks()->levels()->Get(0)->price();
  }) > 0) {
  }
  const auto& instrument = state.trades.instruments().at("600519");
  ASSERT_EQ(instrument.held.size(), sums.size());
  const Amount mark = state.mark("600519", instrument);
  if (mid) {
    EXPECT_TRUE(*compare(mark, {Wide{bid} * 5 + Wide{ask} * 5, price_scale + 1U}) == 0);
  }
  for (const auto& [name, sum] : sums) {
    const Position& position = instrument.held.at(name).position;
    EXPECT_EQ(position.quantity, sum.first) << name;
    EXPECT_TRUE(position.realised - position.cost == sum.second) << name << ": nothing is lost or made";
    const auto result = sums_of(state, name);
    ASSERT_TRUE(result);
    const Amount worth = *multiply(mark, Amount{sum.first, quantity_scale});
    EXPECT_TRUE(*compare(*add(result->realised, result->unrealised),
                         *add(worth, {sum.second, 0U + price_scale + quantity_scale})) == 0)
        << name;
    EXPECT_TRUE(*compare(result->net, worth) == 0) << name;
  }
}

}  // namespace
}  // namespace millrace::delayed::risk
