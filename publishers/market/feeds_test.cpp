// Proves that the lines of each venue become the events they tell of, and that a line which is not what the venue sends
// is an error that names file and line.
#include <gtest/gtest.h>

#include "publishers/market/binance.hpp"
#include "publishers/market/captures.hpp"
#include "publishers/market/testing.hpp"

namespace millrace::market {
namespace {

using Opener = Result<std::unique_ptr<Feed>> (*)(std::string);

struct Outcome {
  std::vector<FeedEvent> events;
  std::string error;  // without the file's path
};

Outcome read(Opener open, const std::string& text) {
  const TestFile file("feed.txt", text);
  auto feed = open(file.path());
  EXPECT_TRUE(feed);
  Outcome outcome;
  while (true) {
    auto event = (*feed)->next();
    if (!event) {
      EXPECT_TRUE(event.error().message.starts_with(file.path() + ":")) << event.error().message;
      outcome.error = event.error().message.substr(file.path().size());
      return outcome;
    }
    if (!*event) return outcome;
    outcome.events.push_back(**std::move(event));
  }
}

const std::string depth =
    R"(1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":9,)"
    R"("b":[["61737.63000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}})"
    "\n";

TEST(Binance, DepthTickerTradeAndSnapshotBecomeEvents) {
  const auto outcome = read(
      open_binance,
      depth +
          R"(2 {"stream":"btcusdt@bookTicker","data":{"u":10,"s":"BTCUSDT","b":"1.5","B":"2","a":"1.6","A":"3"}})"
          "\n"
          R"(3 {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":77,"p":"1.5","q":"0.02","T":1723161255342,"m":true}})"
          "\n"
          R"(4 {"lastUpdateId":8,"bids":[["1.5","2"]],"asks":[]})");
  ASSERT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.events.size(), 4U);

  const auto& update = std::get<BookUpdate>(outcome.events[0]);
  EXPECT_EQ(update.instrument, "BTCUSDT");
  EXPECT_EQ(update.received, WallTime{1'723'161'253'937'085'768});
  EXPECT_FALSE(update.snapshot);
  EXPECT_EQ(update.first, VenueNumber(5));
  EXPECT_EQ(update.last, VenueNumber(9));
  EXPECT_EQ(update.bids, (std::vector<Level>{{{6'173'763'000'000}, {0}}}));
  EXPECT_EQ(update.asks, (std::vector<Level>{{{6'183'764'000'000}, {154'698'000}}}));

  const auto& quote = std::get<Quote>(outcome.events[1]);
  EXPECT_EQ(quote.number, VenueNumber(10));
  EXPECT_EQ(quote.bid, (Level{{150'000'000}, {200'000'000}}));
  EXPECT_EQ(quote.ask, (Level{{160'000'000}, {300'000'000}}));

  const auto& trade = std::get<TradePrint>(outcome.events[2]);
  EXPECT_EQ(trade.number, VenueNumber(77));
  EXPECT_EQ(trade.aggressor, Aggressor::sell);
  EXPECT_EQ(trade.quantity, Quantity{2'000'000});
  EXPECT_EQ(trade.matched, WallTime{1'723'161'255'342'000'000});

  const auto& snapshot = std::get<BookUpdate>(outcome.events[3]);
  EXPECT_TRUE(snapshot.snapshot);
  EXPECT_EQ(snapshot.instrument, "BTCUSDT");
  EXPECT_EQ(snapshot.last, VenueNumber(8));
}

TEST(Binance, BadLinesAreNamed) {
  EXPECT_EQ(read(open_binance, "nonsense\n").error, ":1: the line is not 'local_ns json'");
  EXPECT_EQ(read(open_binance, depth + "x {}\n").error, ":2: 'x' is not a whole number");
  EXPECT_TRUE(read(open_binance, depth + depth.substr(0, 120)).error.starts_with(":2: the text is not JSON"));
  EXPECT_EQ(read(open_binance, "1 {\"stream\":\"a@depth\"}").error, ":1: 'data' is missing");
  EXPECT_EQ(read(open_binance, "1 []").error, ":1: the message is not an object");
  EXPECT_EQ(read(open_binance, R"(1 {"lastUpdateId":8,"bids":[],"asks":[]})").error,
            ":1: a snapshot comes before any line that names its instrument");
  EXPECT_EQ(read(open_binance, R"(1 {"stream":"b@kline","data":{"s":"B"}})").error,
            ":1: the stream 'b@kline' is not known; depth, bookTicker and trade are");
  EXPECT_EQ(
      read(open_binance, R"(1 {"stream":"b@bookTicker","data":{"s":"B","u":1,"b":1.5,"B":"1","a":"1","A":"1"}})").error,
      ":1: b is not a string");
  EXPECT_EQ(read(open_binance, R"(1 {"stream":"b@depth","data":{"s":"B","U":9,"u":5,"b":[],"a":[]}})").error,
            ":1: the update's first number lies above its last");
}

TEST(Coinbase, SnapshotUpdateAndMatchBecomeEvents) {
  const auto outcome = read(
      open_coinbase,
      "wss://x <- 1.5: {}\n"
      R"(1618677817.5: {"type":"snapshot","product_id":"A-B","asks":[["2","1"]],"bids":[["1","1"]]})"
      "\n"
      R"(1618677817.6: {"type":"l2update","product_id":"A-B","changes":[["sell","0.00001306","660.5"],["buy","1","0"]],"time":"x"})"
      "\n\n"
      R"(1618677817.7: {"type":"last_match","trade_id":8,"side":"buy","size":"985","price":"0.5","product_id":"A-B","time":"2021-04-17T16:43:37.089723Z"})"
      "\n"
      R"(1618677817.8: {"type":"match","trade_id":9,"side":"sell","size":"985","price":"0.5","product_id":"A-B","time":"2021-04-17T16:43:37Z"})"
      "\n");
  ASSERT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.events.size(), 4U);
  EXPECT_TRUE(std::get<BookUpdate>(outcome.events[0]).snapshot);
  const auto& update = std::get<BookUpdate>(outcome.events[1]);
  EXPECT_EQ(update.asks, (std::vector<Level>{{{1'306}, {66'050'000'000}}}));
  EXPECT_EQ(update.bids, (std::vector<Level>{{{100'000'000}, {0}}}));
  const auto& before = std::get<TradePrint>(outcome.events[2]);
  EXPECT_TRUE(before.historical);
  EXPECT_EQ(before.matched, WallTime{1'618'677'817'089'723'000});
  EXPECT_EQ(before.aggressor, Aggressor::sell);  // the maker bought
  EXPECT_FALSE(std::get<TradePrint>(outcome.events[3]).historical);
}

TEST(Coinbase, BadLinesAreNamed) {
  EXPECT_EQ(read(open_coinbase, "1.5 {}").error, ":1: the line is not 'unix_s: json'");
  EXPECT_EQ(read(open_coinbase, R"(1.5: {"type":"l2update","product_id":"A","changes":[["up","1","1"]]})").error,
            ":1: the side 'up' is neither buy nor sell");
  const std::string match =
      R"(1: {"type":"match","trade_id":9,"side":"sell","size":"1","price":"1","product_id":"A","time":")";
  EXPECT_EQ(read(open_coinbase, match + "2021-02-30T00:00:00Z\"}").error,
            ":1: '2021-02-30T00:00:00Z' is no time of any day");
  EXPECT_EQ(read(open_coinbase, match + "noon\"}").error, ":1: 'noon' is not a time like 2021-04-17T16:43:37.089723Z");
}

TEST(Kraken, TheScaleIsReadOffTheSnapshotAndBothSidesMayComeInOneMessage) {
  const auto outcome = read(
      open_kraken,
      "1: {\"event\":\"heartbeat\"}\n"
      R"(2: [7,{"as":[["0.0250","1.00000000","1"]],"bs":[["0.0240","2.00000000","1"]]},"book-1000","A/B"])"
      "\n"
      R"(3: [7,{"a":[["0.0250","0.00000000","1"]]},{"b":[["0.0245","1.50000000","1","r"]],"c":"4105471083"},"book-1000","A/B"])"
      "\n");
  ASSERT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.events.size(), 2U);
  const auto& snapshot = std::get<BookUpdate>(outcome.events[0]);
  EXPECT_TRUE(snapshot.snapshot);
  EXPECT_EQ(snapshot.scale, (Scale{4, 8}));
  const auto& update = std::get<BookUpdate>(outcome.events[1]);
  EXPECT_EQ(update.asks, (std::vector<Level>{{{250}, {0}}}));
  EXPECT_EQ(update.bids, (std::vector<Level>{{{245}, {150'000'000}}}));
  EXPECT_EQ(update.checksum, 4'105'471'083U);
}

TEST(Kraken, BadLinesAreNamed) {
  EXPECT_EQ(read(open_kraken, "1: [7,{\"a\":[]},\"book-1000\",\"A/B\"]").error,
            ":1: an update of A/B comes before its snapshot");
  EXPECT_EQ(read(open_kraken, "1: [7]").error, ":1: the message is not [channel, data, name, pair]");
  EXPECT_EQ(read(open_kraken, "1: [7,{\"as\":[],\"bs\":[]},\"book-1000\",\"A/B\"]").error,
            ":1: the snapshot has no level to read the scale off");
}

TEST(Okx, BooksAndTradesBecomeEventsAndASignedChecksumIsTakenAsItsBits) {
  const auto outcome = read(
      open_okx,
      R"(1: {"event":"subscribe","arg":{"channel":"books","instId":"X"}})"
      "\n"
      R"(2: {"arg":{"channel":"tickers","instId":"X"},"data":[{}]})"
      "\n"
      R"(3: {"arg":{"channel":"books","instId":"X"},"action":"update","data":[{"asks":[["30249.4","0","0","0"]],"bids":[],"ts":"1","checksum":-914047754}]})"
      "\n"
      R"(4: {"arg":{"channel":"trades","instId":"X"},"data":[{"instId":"X","tradeId":"7849","px":"30218.8","sz":"1","side":"buy","ts":"1652459199958"},)"
      R"({"instId":"X","tradeId":"7850","px":"30218.8","sz":"1","side":"sell","ts":"1652459199958"}]})"
      "\n");
  ASSERT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.events.size(), 3U);
  EXPECT_EQ(std::get<BookUpdate>(outcome.events[0]).checksum, 3'380'919'542U);
  EXPECT_EQ(std::get<TradePrint>(outcome.events[1]).aggressor, Aggressor::buy);
  EXPECT_EQ(std::get<TradePrint>(outcome.events[2]).number, VenueNumber(7'850));
}

TEST(Okx, BadLinesAreNamed) {
  EXPECT_EQ(read(open_okx, R"(1: {"arg":{"channel":"books","instId":"X"},"action":"new","data":[{}]})").error,
            ":1: the action 'new' is neither snapshot nor update");
  EXPECT_EQ(
      read(
          open_okx,
          R"(1: {"arg":{"channel":"books","instId":"X"},"action":"update","data":[{"bids":[["1","-2"]],"asks":[],"checksum":1}]})")
          .error,
      ":1: a level's quantity is negative");
}

}  // namespace
}  // namespace millrace::market
