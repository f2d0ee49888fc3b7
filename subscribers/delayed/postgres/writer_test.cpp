// Proves that a batch goes into its tables exactly, as a whole or not at all, under the newest token and from where the
// checkpoint stands, and that what a table refuses goes to dead_letters, on a real PostgreSQL.
#include "subscribers/delayed/postgres/writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "schemas/decimal.hpp"
#include "subscribers/delayed/postgres/testing/database.hpp"
#include "subscribers/delayed/postgres/testing/events.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;
using schemas::AccountEvent;
using schemas::MarketL2;
using schemas::set_text;
using schemas::TradeEvent;
using testing::connect;
using ::testing::HasSubstr;
using testing::MadeEvents;
using testing::query;
using testing::text_of;

const LogId test_log{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

class Writing : public testing::WithDatabase {
 protected:
  void SetUp() override {
    WithDatabase::SetUp();
    if (IsSkipped()) return;
    connection_.emplace(tables());
    ASSERT_EQ(elect(*connection_, "sink", "me", 300s).value(), 1);
  }
  // Writes from the topic's first offset, where its checkpoint is made.
  template <class T>
  Writer writer(const std::string& topic, std::uint64_t first = 0) {
    const schemas::EventType& type = *registry_.find(schemas::Family<T>::name);
    EXPECT_TRUE(create_checkpoint(*connection_, topic, {test_log, millrace::Run(1), Offset(first)}, lease_));
    return Writer(*connection_, *tables_of(type), type, topic);
  }
  DatabaseResult<Writer::Written> write(Writer& writer, const Batch& batch) {
    return writer.write(batch, test_log, millrace::Run(1), lease_);
  }
  std::string ask(const std::string& sql) { return text_of(*connection_, sql); }
  Connection& connection() { return *connection_; }

  const schemas::Registry registry_ = schemas::Registry::built_in();
  const Lease lease_{"sink", 1, 300s};

 private:
  std::optional<Connection> connection_;
};

MadeEvents<TradeEvent> trades(std::uint64_t first, int count) {
  MadeEvents<TradeEvent> events(first);
  for (int i = 0; i < count; ++i) {
    events.add([&](TradeEvent& trade) {
      set_text(trade.mutable_instrument(), "MILL");
      trade.mutate_buy_order_id(first + static_cast<std::uint64_t>(i));
    });
  }
  return events;
}

TEST_F(Writing, ATradeIsARowWithAllItsDigits) {
  Writer writer = this->writer<TradeEvent>("trade_events", 7);
  MadeEvents<TradeEvent> events(7);
  events.add([](TradeEvent& trade) {
    set_text(trade.mutable_trade_id(), "t'1\\");
    set_text(trade.mutable_instrument(), "0123456789abcdef");
    set_text(trade.mutable_buyer_account(), "käufer");
    trade.mutate_price(1'808'080);
    trade.mutate_price_scale(3);
    trade.mutate_quantity(-5);
    trade.mutate_aggressor(schemas::Side::sell);
    trade.mutate_buy_order_id(std::numeric_limits<std::uint64_t>::max());
    trade.mutate_match_time(1'700'000'000'123'456'789);
  });
  const auto written = write(writer, events.batch());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->rows, 1U);
  EXPECT_EQ(ask("SELECT topic, log_offset, trade_id, instrument, price, quantity, aggressor, buyer_account, "
                "seller_account, buy_order_id, sell_order_id, matched AT TIME ZONE 'UTC', matched_ns, "
                "recorded AT TIME ZONE 'UTC' FROM trades"),
            "trade_events|7|t'1\\|0123456789abcdef|1808.080|-5|sell|käufer||18446744073709551615|0|"
            "2023-11-14 22:13:20.123456|1700000000123456789|2023-11-14 22:13:21");
  EXPECT_EQ(ask("SELECT next_offset, run, token FROM sink_checkpoints"), "8|1|1");
}

TEST_F(Writing, EveryMantissaAndScaleIsExact) {
  Writer writer = this->writer<TradeEvent>("trade_events");
  std::mt19937_64 random(1);
  std::vector<schemas::Decimal> values;
  for (const std::int64_t edge :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), std::int64_t{0},
        std::int64_t{1}, std::int64_t{-1}, std::int64_t{10'000}, std::int64_t{9'999}, std::int64_t{100'000'000}}) {
    for (int scale = 0; scale < 40; ++scale) values.push_back({edge, static_cast<std::uint8_t>(scale)});
  }
  while (values.size() < 5000) {
    const auto wide = static_cast<std::int64_t>(random());
    values.push_back({wide >> (random() % 64), static_cast<std::uint8_t>(random() % 24)});
  }
  MadeEvents<TradeEvent> events;
  std::string expected;
  for (const schemas::Decimal value : values) {
    events.add([&](TradeEvent& trade) {
      trade.mutate_price(value.mantissa);
      trade.mutate_price_scale(value.scale);
    });
    if (!expected.empty()) expected += '\n';
    schemas::append_decimal(value, expected);
  }
  ASSERT_TRUE(write(writer, events.batch()));
  EXPECT_EQ(ask("SELECT price FROM trades ORDER BY log_offset"), expected);
}

TEST_F(Writing, ABalanceIsTheNewestEventOfItsAccountAndCurrency) {
  Writer writer = this->writer<AccountEvent>("account_events");
  const auto change = [](MadeEvents<AccountEvent>& events, const char* account, const char* currency,
                         std::int64_t balance) {
    events.add([&](AccountEvent& event) {
      set_text(event.mutable_account(), account);
      set_text(event.mutable_currency(), currency);
      event.mutate_balance(balance);
      event.mutate_scale(2);
      event.mutate_cause(schemas::AccountCause::deposit);
    });
  };
  MadeEvents<AccountEvent> first(0), second(4);
  change(first, "a", "EUR", 100);
  change(first, "b", "EUR", 200);
  change(first, "a", "USD", 300);
  change(first, "a", "EUR", 400);
  change(second, "b", "EUR", 500);
  ASSERT_TRUE(write(writer, first.batch()));
  EXPECT_EQ(ask("SELECT account, currency, balance, log_offset FROM account_balances ORDER BY 1, 2"),
            "a|EUR|4.00|3\na|USD|3.00|2\nb|EUR|2.00|1");
  ASSERT_TRUE(write(writer, second.batch()));
  EXPECT_EQ(ask("SELECT account, currency, balance, log_offset FROM account_balances ORDER BY 1, 2"),
            "a|EUR|4.00|3\na|USD|3.00|2\nb|EUR|5.00|4");
  EXPECT_EQ(ask("SELECT string_agg(balance::text, ' ' ORDER BY log_offset) FROM account_events"),
            "1.00 2.00 3.00 4.00 5.00");
  EXPECT_EQ(ask("SELECT DISTINCT cause FROM account_events"), "deposit");
}

TEST_F(Writing, ABookHasAsManyElementsAsLevels) {
  Writer writer = this->writer<MarketL2>("depth");
  MadeEvents<MarketL2> events;
  events.add([](MarketL2& book) {
    set_text(book.mutable_instrument(), "MILL");
    book.mutate_price_scale(2);
    book.mutate_quantity_scale(1);
    book.mutate_phase(schemas::Phase::continuous);
    for (unsigned i = 0; i < 10; ++i) {
      *book.mutable_bids()->mutable_levels()->GetMutablePointer(i) = schemas::Level(10'000 - i, 10 + i);
    }
    *book.mutable_asks()->mutable_levels()->GetMutablePointer(0) = schemas::Level(10'001, 55);
    book.mutate_checksum(0xffffffff);
    book.mutate_last_price(-1);
  });
  events.add([](MarketL2&) {});
  ASSERT_TRUE(write(writer, events.batch()));
  EXPECT_EQ(ask("SELECT bid_prices, bid_quantities, ask_prices, ask_quantities, last_price, checksum, phase "
                "FROM order_book_snapshots WHERE topic = 'depth' AND log_offset = 0"),
            "{100.00,99.99,99.98,99.97,99.96,99.95,99.94,99.93,99.92,99.91}|"
            "{1.0,1.1,1.2,1.3,1.4,1.5,1.6,1.7,1.8,1.9}|{100.01}|{5.5}|-0.01|4294967295|continuous");
  EXPECT_EQ(ask("SELECT bid_prices, ask_quantities, phase FROM order_book_snapshots WHERE log_offset = 1"),
            "{}|{}|closed");
}

TEST_F(Writing, AStaleLeadersBatchIsRefusedAsAWhole) {
  Writer stale = writer<TradeEvent>("trade_events");
  ASSERT_TRUE(write(stale, trades(0, 10).batch()));
  // As if the next leader's election had come while this one was stopped; without ending its connection.
  Connection next = connect(uri());
  query(next, "UPDATE sink_leader SET token = 2, holder = 'next'");
  auto whole = write(stale, trades(10, 10).batch());
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().sqlstate, not_the_leader);
  auto with_bad_one = trades(10, 10);
  with_bad_one.add([](TradeEvent& trade) { trade.mutate_aggressor(static_cast<schemas::Side>(77)); });
  const auto sifted = write(stale, with_bad_one.batch());
  ASSERT_FALSE(sifted);
  EXPECT_EQ(sifted.error().sqlstate, not_the_leader);
  EXPECT_EQ(ask("SELECT count(*), max(log_offset) FROM trades"), "10|9");
  EXPECT_EQ(ask("SELECT count(*) FROM dead_letters"), "0");
  EXPECT_EQ(ask("SELECT next_offset, token FROM sink_checkpoints"), "10|1");
}

TEST_F(Writing, ABatchThatDoesNotBeginAtTheCheckpointIsRefused) {
  Writer writer = this->writer<TradeEvent>("trade_events");
  ASSERT_TRUE(write(writer, trades(0, 10).batch()));
  for (const auto& batch : {trades(0, 10), trades(5, 10), trades(11, 10)}) {
    const auto refused = write(writer, batch.batch());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().sqlstate, checkpoint_elsewhere);
  }
  const auto other_log = writer.write(trades(10, 1).batch(), LogId{random_uuid_bytes()}, millrace::Run(1), lease_);
  ASSERT_FALSE(other_log);
  EXPECT_EQ(other_log.error().sqlstate, checkpoint_elsewhere);
  EXPECT_EQ(ask("SELECT count(*), max(log_offset) FROM trades"), "10|9");
  ASSERT_TRUE(write(writer, trades(10, 10).batch()));
  EXPECT_EQ(ask("SELECT count(*), max(log_offset) FROM trades"), "20|19");
}

TEST_F(Writing, RowsThatAreThereAlreadyStayAsTheyAreWhenTheCheckpointIsMovedBack) {
  Writer writer = this->writer<TradeEvent>("trade_events");
  ASSERT_TRUE(write(writer, trades(0, 10).batch()));
  query(connection(), "UPDATE sink_checkpoints SET next_offset = 5; UPDATE trades SET instrument = 'KEPT'");
  const auto written = write(writer, trades(5, 10).batch());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->dead, 0U);
  EXPECT_EQ(ask("SELECT instrument, count(*), max(log_offset) FROM trades GROUP BY 1 ORDER BY 1"),
            "KEPT|10|9\nMILL|5|14");
  EXPECT_EQ(ask("SELECT count(*) FROM dead_letters"), "0");
}

TEST_F(Writing, WhatATableRefusesIsADeadLetterAndTheRestGoesOn) {
  // What its owner may ask of it: a limit on numbers, and a check at the end of the transaction.
  query(connection(),
        "ALTER TABLE trades ALTER price TYPE numeric(8, 2), ADD UNIQUE (trade_id, buy_order_id) "
        "DEFERRABLE INITIALLY DEFERRED");
  Writer writer = this->writer<TradeEvent>("trade_events");
  MadeEvents<TradeEvent> events;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    events.add([&](TradeEvent& trade) {
      set_text(trade.mutable_instrument(), "MILL");
      trade.mutate_buy_order_id(i == 900 ? 899 : i);
      if (i == 0) set_text(trade.mutable_instrument(), std::string_view("MI\0LL", 5));
      if (i == 100) set_text(trade.mutable_seller_account(), "\xff\xfe");
      if (i == 101) trade.mutate_aggressor(static_cast<schemas::Side>(77));
      if (i == 999) trade.mutate_price(100'000'000);
    });
  }
  const auto written = write(writer, events.batch());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->rows, 995U);
  EXPECT_EQ(written->dead, 5U);
  EXPECT_EQ(ask("SELECT count(*), sum(log_offset) FROM trades"),
            "995|" + std::to_string(999 * 500 - 100 - 101 - 900 - 999));
  EXPECT_EQ(ask("SELECT log_offset, sqlstate FROM dead_letters ORDER BY 1"),
            "0|22021\n100|22021\n101|23514\n900|23505\n999|22003");
  EXPECT_THAT(ask("SELECT reason FROM dead_letters WHERE log_offset = 101"), HasSubstr("trades_aggressor_check"));
  EXPECT_EQ(ask("SELECT event->>'price', event_type, length(payload) > 100 FROM dead_letters WHERE log_offset = 999"),
            "100000000|1|t");
  EXPECT_EQ(ask("SELECT next_offset FROM sink_checkpoints"), "1000");
  const auto payload = events.batch().events[101].payload();
  EXPECT_EQ(ask("SELECT length(payload) FROM dead_letters WHERE log_offset = 101"), std::to_string(payload.size()));
}

TEST_F(Writing, ABatchOfNothingButBadRowsIsAllDeadLetters) {
  Writer writer = this->writer<TradeEvent>("trade_events");
  MadeEvents<TradeEvent> events;
  for (int i = 0; i < 300; ++i) {
    events.add([](TradeEvent& trade) { trade.mutate_aggressor(static_cast<schemas::Side>(3)); });
  }
  const auto written = write(writer, events.batch());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->dead, 300U);
  EXPECT_EQ(ask("SELECT count(*) FROM trades"), "0");
  EXPECT_EQ(ask("SELECT count(*), max(log_offset) FROM dead_letters"), "300|299");
  ASSERT_TRUE(write(writer, trades(300, 1).batch()));
}

TEST_F(Writing, DeadLettersHoldNoLocksThatAddUp) {
  query(connection(),
        "CREATE TABLE locks (held bigint); CREATE FUNCTION count_locks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO locks SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND pid = pg_backend_pid(); "
        "RETURN NULL; END $$; "
        "CREATE TRIGGER count_locks AFTER INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION count_locks()");
  Writer writer = this->writer<TradeEvent>("trade_events");
  MadeEvents<TradeEvent> events;
  for (int i = 0; i < 300; ++i) {
    events.add([](TradeEvent& trade) { trade.mutate_aggressor(static_cast<schemas::Side>(3)); });
  }
  const auto written = write(writer, events.batch());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(ask("SELECT count(*) FROM locks"), "300");
  EXPECT_EQ(ask("SELECT max(held) < 10 FROM locks"), "t") << ask("SELECT max(held) FROM locks");
}

TEST_F(Writing, AnEventThatFailedItsVerifierIsADeadLetter) {
  Writer writer = this->writer<TradeEvent>("trade_events");
  MadeEvents<TradeEvent> events;
  events.add([](TradeEvent&) {});
  events.skip();
  events.add([](TradeEvent&) {});
  events.skip();
  const auto written = write(writer, events.batch());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(ask("SELECT string_agg(log_offset::text, ' ') FROM trades"), "0 2");
  EXPECT_EQ(ask("SELECT string_agg(log_offset::text, ' '), min(sqlstate) FROM dead_letters"), "1 3|MR003");
  EXPECT_EQ(ask("SELECT next_offset FROM sink_checkpoints"), "4");
}

TEST_F(Writing, AnErrorThatIsOfNoRowLeavesNothingAndTheBatchIsWrittenLater) {
  Writer writer = this->writer<TradeEvent>("trade_events");
  const auto events = trades(0, 10);
  query(connection(), "ALTER TABLE trades RENAME TO elsewhere");
  const auto refused = write(writer, events.batch());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "42P01");
  EXPECT_FALSE(refused.error().lost);
  EXPECT_EQ(ask("SELECT next_offset FROM sink_checkpoints"), "0");
  query(connection(), "ALTER TABLE elsewhere RENAME TO trades");
  ASSERT_TRUE(write(writer, events.batch()));
  EXPECT_EQ(ask("SELECT count(*) FROM trades"), "10");
}

}  // namespace
}  // namespace millrace::delayed::postgres
