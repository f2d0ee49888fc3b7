// Proves that Shanghai and LOBSTER records are read field by field, that orders are reconstructed from trades, and that
// a bad line is an error that names file and line.
#include <gtest/gtest.h>

#include "publishers/market/checks.hpp"
#include "publishers/market/lobster.hpp"
#include "publishers/market/sse_day.hpp"
#include "publishers/market/testing.hpp"

namespace millrace::market {
namespace {

std::string order(char action, int number, char side, int price, int quantity, const char* time, int index) {
  return "//MsgType=192 OrderNo=" + std::to_string(number) + "    Price=" + std::to_string(price) +
         " OrderQty=" + std::to_string(quantity) + " OrdType=" + std::to_string(action) +
         " Side=" + std::to_string(side) + " TransactTime=" + time + " resv=   BizIndex=" + std::to_string(index) +
         "\n";
}

std::string trade(int buy, int sell, int price, int quantity, char aggressor, const char* time, int index) {
  return "//MsgType=191 BidApplSeqNum=" + std::to_string(buy) + " OfferApplSeqNum=" + std::to_string(sell) +
         " LastPx=" + std::to_string(price) + " LastQty=" + std::to_string(quantity) +
         " ExecType=" + std::to_string(aggressor) + " TransactTime=" + time + " BizIndex=" + std::to_string(index) +
         "\n";
}

// Two levels a side where `quantity` > 0: bid 9'990, ask 10'000.
std::string snapshot(int phase, int trades, int volume, const char* time, int bid_quantity, int ask_quantity) {
  std::string text = "//MsgType=111 TradingPhase=" + std::to_string(phase) + " NumTrades=" + std::to_string(trades) +
                     " TotalVolumeTrade=" + std::to_string(volume) + " PrevClosePx=9900 DataTimeStamp=" + time;
  for (const auto& [side, price, quantity] : {std::tuple{"Bid", 9'990, bid_quantity}, {"Ask", 10'000, ask_quantity}}) {
    for (int i = 0; i < 10; ++i) {
      const bool shown = i == 0 && quantity > 0;
      const auto level = std::string(" ") + side + "Level[" + std::to_string(i) + "].";
      text +=
          level + "Price=" + std::to_string(shown ? price : 0) + level + "Qty=" + std::to_string(shown ? quantity : 0);
    }
  }
  return text + "\n";
}

std::string sse_error(const std::string& text) {
  const TestFile file("day.log", text);
  const auto day = SseDay::load(file.path(), matching::InstrumentId(0), {0});
  return day ? "" : day.error().message.substr(file.path().size());
}

TEST(Sse, RecordsAreReadFieldByField) {
  const TestFile file("day.log", order('A', 30, 'S', 10'000, 5'000, "9300012", 7) +
                                     trade(40, 30, 10'000, 2'000, 'B', "13000099", 8) +
                                     snapshot(2, 1, 2'000, "93003", 0, 3'000));
  auto reader = SseReader::open(file.path());
  ASSERT_TRUE(reader);
  const auto first = std::get<SseOrder>(reader->next().value().value());
  EXPECT_EQ(first.order, matching::OrderId(30));
  EXPECT_EQ(first.side, Side::sell);
  EXPECT_EQ(first.action, SseOrder::Action::add);
  EXPECT_EQ(first.time.ns, time_of_day(9, 30, 0).ns + 120'000'000);
  EXPECT_EQ(first.index, BizIndex(7));
  const auto second = std::get<SseTrade>(reader->next().value().value());
  EXPECT_EQ(second.taker(), matching::OrderId(40));
  EXPECT_EQ(second.time.ns, time_of_day(13, 0, 0).ns + 990'000'000);
  const auto third = std::get<SseSnapshot>(reader->next().value().value());
  EXPECT_EQ(third.time, time_of_day(9, 30, 3));
  EXPECT_EQ(third.volume, Quantity{2'000});
  EXPECT_EQ(third.levels.asks[0], (Level{{10'000}, {3'000}}));
  EXPECT_FALSE(reader->next().value());
}

TEST(Sse, ARunOfTradesAndItsRemainderBecomeOneOrder) {
  // Out of order on purpose: BizIndex decides.
  const TestFile file(
      "day.log", trade(5, 3, 10'010, 1'000, 'B', "9310000", 6) + order('A', 5, 'B', 10'020, 4'000, "9310000", 7) +
                     order('A', 2, 'S', 10'000, 2'000, "9200000", 2) + order('A', 1, 'B', 10'000, 1'000, "9200000", 1) +
                     trade(1, 2, 10'000, 1'000, 'N', "9250000", 3) + order('A', 3, 'S', 10'010, 1'000, "9300000", 4) +
                     trade(5, 2, 10'000, 1'000, 'B', "9310000", 5) + trade(5, 6, 10'020, 4'000, 'S', "9320000", 8) +
                     order('A', 7, 'S', 10'030, 1'000, "14570000", 9) +
                     order('D', 7, 'S', 10'030, 1'000, "14580000", 10));
  auto day = SseDay::load(file.path(), matching::InstrumentId(0), {1'000});
  ASSERT_TRUE(day) << day.error().message;
  using matching::NewOrder;
  using matching::OrderKind;
  using matching::Phase;
  const auto limit = [](std::uint64_t id, Side side, std::int64_t price, std::int64_t quantity) {
    return matching::Command(NewOrder{{}, matching::OrderId(id), {}, side, OrderKind::limit, {price}, {quantity}});
  };
  const std::vector<matching::Command> wanted{
      limit(1, Side::buy, 10'000, 1'000),
      limit(2, Side::sell, 10'000, 2'000),
      matching::SetPhase{{}, Phase::continuous, {}},
      limit(3, Side::sell, 10'010, 1'000),
      limit(5, Side::buy, 10'020, 6'000),   // two trades and what remained
      limit(6, Side::sell, 10'020, 4'000),  // filled whole: the last price
      matching::SetPhase{{}, Phase::auction, {10'020}},
      limit(7, Side::sell, 10'030, 1'000),
      matching::CancelOrder{{}, matching::OrderId(7), {}},
  };
  std::vector<matching::Command> commands;
  while (const auto* command = day->next()) {
    EXPECT_EQ(command->input.number.value(), commands.size());
    commands.push_back(command->command);
  }
  EXPECT_EQ(commands, wanted);
  EXPECT_EQ(day->commands()[0].input.time.ns, 1'000 + time_of_day(9, 20, 0).ns);
  EXPECT_EQ(day->passive_orders(), 1U);
  EXPECT_EQ(day->aggressive_orders(), 2U);
}

TEST(Sse, TheCheckFindsWhatTheEngineMakesAndMissesWhatItDoesNot) {
  const std::string morning =
      order('A', 1, 'B', 9'990, 3'000, "9200000", 1) + order('A', 2, 'S', 9'990, 1'000, "9210000", 2) +
      trade(1, 2, 9'990, 1'000, 'N', "9250000", 3) + order('A', 3, 'S', 10'000, 5'000, "9300000", 4) +
      trade(4, 3, 10'000, 2'000, 'B', "9310000", 5) + snapshot(2, 2, 3'000, "93105", 2'000, 3'000);
  const auto results = [](const std::string& text, std::size_t books_seen) {
    const TestFile file("day.log", text);
    auto day = SseDay::load(file.path(), matching::InstrumentId(0), {0}).value();
    auto check = make_sse_check(day);
    auto replay = replay_sse(day, "600519").value();
    while (auto event = replay->next().value()) {
      if (const auto* print = std::get_if<TradePrint>(&*event)) {
        check->on_trade(*print);
      } else if (books_seen > 0) {
        --books_seen;
        check->on_book(std::get<BookView>(*event));
      }
    }
    return check->results();
  };
  auto right = results(morning, 100);
  EXPECT_TRUE(right[0].passed());
  EXPECT_EQ(right[0].expected, 1U);
  EXPECT_TRUE(right[1].passed());
  EXPECT_EQ(right[2].name, "sse-600519 opening auction at 9.990");
  EXPECT_TRUE(right[2].passed());

  EXPECT_EQ(results(morning, 1)[1].matched, 0U);  // books lost on the way
  const auto wrong = results(morning + snapshot(2, 2, 3'000, "93108", 2'000, 9'000), 100);
  EXPECT_EQ(wrong[1].matched, 1U);  // a snapshot the book never was
  EXPECT_EQ(wrong[1].expected, 2U);
}

TEST(Sse, BadLinesAreNamed) {
  const auto good = order('A', 1, 'B', 10'000, 1'000, "9200000", 1);
  EXPECT_EQ(sse_error(good), "");
  EXPECT_EQ(sse_error(good + "MsgType=192\n"), ":2: the line does not begin with //");
  EXPECT_EQ(sse_error(good + "//MsgType=7\n"), ":2: MsgType 7 is not 192 (order), 191 (trade) or 111 (snapshot)");
  EXPECT_EQ(sse_error(good + good.substr(0, 60)), ":2: OrdType is missing");
  EXPECT_EQ(sse_error(good + order('X', 1, 'B', 10'000, 1'000, "9200000", 2)), ":2: OrdType has the unknown value 88");
  EXPECT_EQ(sse_error(order('A', 1, 'B', 10'000, 1'000, "9610000", 2)), ":1: TransactTime is no time of a day");
  EXPECT_EQ(sse_error("//MsgType=192 OrderNo=abc\n"), ":1: OrderNo: 'abc' is not a whole number");
  EXPECT_EQ(sse_error(order('A', 1, 'B', 10'000, -5, "9200000", 2)), ":1: OrderQty is negative");
}

TEST(Lobster, MessagesAndBooksAreReadFieldByField) {
  const TestFile messages("m.csv", "34200.017459617,4,17,21,2238200,-1\n");
  const auto message = LobsterMessages::open(messages.path()).value().next().value().value();
  EXPECT_EQ(message.ns_of_day, 34'200'017'459'617);
  EXPECT_EQ(message.type, LobsterMessage::Type::visible_execution);
  EXPECT_EQ(message.order, matching::OrderId(17));
  EXPECT_EQ(message.size, Quantity{21});
  EXPECT_EQ(message.price, Price{2'238'200});
  EXPECT_EQ(message.side, Side::sell);

  const TestFile books("b.csv", "2239500,100,2231800,200,9999999999,0,-9999999999,0\n");
  const auto book = LobsterBooks::open(books.path()).value().next().value().value();
  TenLevels wanted;
  wanted.asks[0] = {{2'239'500}, {100}};
  wanted.bids[0] = {{2'231'800}, {200}};
  EXPECT_EQ(book, wanted);
}

TEST(Lobster, BadLinesAreNamed) {
  const auto message_error = [](const std::string& text) {
    const TestFile file("m.csv", text);
    const auto message = LobsterMessages::open(file.path()).value().next();
    return message ? "" : message.error().message.substr(file.path().size());
  };
  EXPECT_EQ(message_error("34200.1,1,2,3"), ":1: a message has 6 fields, not 4");
  EXPECT_EQ(message_error("noon,1,2,3,4,1"), ":1: the time 'noon' is not a decimal number");
  EXPECT_EQ(message_error("1,9,2,3,4,1"), ":1: the type is not 1 to 7");
  EXPECT_EQ(message_error("1,1,2,3,4,0"), ":1: the direction is neither 1 nor -1");
  EXPECT_EQ(message_error("1,1,2,x,4,1"), ":1: field 4: 'x' is not a whole number");
  const TestFile file("b.csv", "1,2,3\n");
  const auto book = LobsterBooks::open(file.path()).value().next();
  ASSERT_FALSE(book);
  EXPECT_EQ(book.error().message, file.path() + ":1: a book has 4 fields a level and at most 10 levels, not 3 fields");
}

TEST(Lobster, ABookFollowsOnlyIfTheMessageExplainsAllOfIt) {
  using Type = LobsterMessage::Type;
  const auto message = [](Type type, std::int64_t size, std::int64_t price) {
    return LobsterMessage{0, type, {}, {size}, {price}, Side::buy};
  };
  TenLevels before;
  for (std::size_t i = 0; i < TenLevels::count; ++i) before.bids[i] = {{100 - static_cast<std::int64_t>(i)}, {10}};
  before.asks[0] = {{101}, {5}};

  auto grown = before;
  grown.bids[2].quantity = {13};
  EXPECT_TRUE(follows(before, message(Type::add, 3, 98), grown));
  EXPECT_FALSE(follows(before, message(Type::add, 2, 98), grown));
  EXPECT_TRUE(follows(grown, message(Type::partial_cancel, 3, 98), before));
  EXPECT_TRUE(follows(before, message(Type::hidden_execution, 3, 98), before));
  EXPECT_FALSE(follows(before, message(Type::hidden_execution, 3, 98), grown));

  auto best_gone = before;
  std::copy(before.bids.begin() + 1, before.bids.end(), best_gone.bids.begin());
  best_gone.bids[9] = {{80}, {7}};  // comes up from below
  EXPECT_TRUE(follows(before, message(Type::visible_execution, 10, 100), best_gone));
  best_gone.bids[9] = {{95}, {7}};  // not worse than the ninth
  EXPECT_FALSE(follows(before, message(Type::visible_execution, 10, 100), best_gone));
  best_gone.bids[9] = {};
  EXPECT_TRUE(follows(before, message(Type::cancel, 10, 100), best_gone));
  best_gone.asks[0].quantity = {6};  // the other side must stay
  EXPECT_FALSE(follows(before, message(Type::cancel, 10, 100), best_gone));
}

TEST(Lobster, FilesOfDifferentLengthAreAnError) {
  const TestFile messages("m.csv", "1,1,2,3,4,1\n2,1,2,3,4,1\n");
  const TestFile books("b.csv", "1,2,3,4\n");
  auto replay = replay_lobster(messages.path(), books.path(), "X", {0}).value();
  EXPECT_TRUE(replay->next().value());
  const auto end = replay->next();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().message, books.path() + ":1: the file ends here, but its counterpart goes on");
}

}  // namespace
}  // namespace millrace::market
