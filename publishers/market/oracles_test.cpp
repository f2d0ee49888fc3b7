// Proves every oracle on the real recordings: readers, book builder and matching engine give what the venues showed.
#include "publishers/market/oracles.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace millrace::market {
namespace {

class Oracles : public testing::Test {
 protected:
  void SetUp() override {
    const char* set = std::getenv("MILLRACE_DATA");
    data_ = set != nullptr ? set : MILLRACE_DATA_DEFAULT;
    if (!std::filesystem::is_directory(data_)) GTEST_SKIP() << data_ << " is no folder; set MILLRACE_DATA";
  }

  void expect(const std::string& name, const std::vector<OracleResult>& wanted) {
    for (const auto& spec : all_oracles()) {
      if (spec.name != name) continue;
      auto oracle = spec.open(data_);
      ASSERT_TRUE(oracle) << oracle.error().message;
      const auto results = run_oracle(*std::move(oracle));
      ASSERT_TRUE(results) << results.error().message;
      ASSERT_EQ(results->size(), wanted.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_EQ((*results)[i].name, wanted[i].name);
        EXPECT_EQ((*results)[i].matched, wanted[i].matched) << wanted[i].name;
        EXPECT_EQ((*results)[i].expected, wanted[i].expected) << wanted[i].name;
      }
      return;
    }
    FAIL() << "there is no oracle " << name;
  }

  std::string data_;
};

TEST_F(Oracles, ADayInShanghaiIsTradedAsTheExchangeDid) {
  expect("sse-600519", {{"sse-600519 continuous trades", 18'139, 18'139},
                        {"sse-600519 snapshots", 4'858, 4'858},
                        {"sse-600519 opening auction at 1808.080", 334, 334},
                        {"sse-600519 closing auction at 1797.000", 212, 212}});
}

TEST_F(Oracles, ADayInShanghaiIsReconstructedIntoAsManyOrders) {
  const auto day = load_sse_day(data_, matching::InstrumentId(0));
  ASSERT_TRUE(day) << day.error().message;
  EXPECT_EQ(day->passive_orders(), 29'082U);
  EXPECT_EQ(day->aggressive_orders(), 13'352U);
}

TEST_F(Oracles, EachLobsterMessageGivesTheNextBookOfAmazon) {
  expect("lobster-amzn", {{"lobster AMZN rows", 19'999, 19'999}});
}

TEST_F(Oracles, EachLobsterMessageGivesTheNextBookOfApple) {
  expect("lobster-aapl", {{"lobster AAPL rows", 998, 998}});
}

TEST_F(Oracles, BinanceSpotBooksAgreeWithTheTickers) {
  expect("binance-spot",
         {{"binance spot updates in sequence", 3'449, 3'449}, {"binance spot best bid and ask", 3'449, 3'449}});
}

TEST_F(Oracles, BinanceFuturesBooksAgreeWithTheTickers) {
  expect("binance-futures",
         {{"binance futures updates in sequence", 6'547, 6'547}, {"binance futures best bid and ask", 6'547, 6'547}});
}

TEST_F(Oracles, KrakenBooksHaveTheVenuesChecksums) {
  expect("kraken", {{"kraken checksums", 4'269, 4'269}});
}

TEST_F(Oracles, OkxBooksHaveTheVenuesChecksums) {
  expect("okx", {{"okx checksums", 290, 290}});
}

TEST_F(Oracles, CoinbaseTradeNumbersAreContiguous) {
  expect("coinbase", {{"coinbase trade numbers", 97, 97}});
}

TEST_F(Oracles, EachCheckNoticesOneLostAndOneAlteredEvent) {
  for (const auto& spec : all_oracles()) {
    for (const bool alter : {false, true}) {
      auto counted = spec.open(data_);
      ASSERT_TRUE(counted) << counted.error().message;
      std::size_t events = 0;
      while (counted->replay->next().value()) ++events;

      auto oracle = spec.open(data_).value();
      bool trade_hit = false;
      bool book_hit = false;
      for (std::size_t i = 0; auto event = oracle.replay->next().value(); ++i) {
        const bool hit = i >= events / 2;
        if (auto* print = std::get_if<TradePrint>(&*event)) {
          const bool now = hit && !std::exchange(trade_hit, trade_hit || hit);
          if (now && alter) {
            ++print->number;
            print->price += Price{10};
          }
          if (!now || alter) oracle.check->on_trade(*print);
        } else {
          auto& view = std::get<BookView>(*event);
          const bool now = hit && !std::exchange(book_hit, book_hit || hit);
          if (now && alter) view.levels.bids[0].quantity += Quantity{1};
          if (!now || alter) oracle.check->on_book(view);
        }
      }
      const auto results = oracle.check->results();
      EXPECT_TRUE(std::any_of(results.begin(), results.end(), [](const auto& result) { return !result.passed(); }))
          << spec.name << (alter ? ", altered" : ", lost");
    }
  }
}

}  // namespace
}  // namespace millrace::market
