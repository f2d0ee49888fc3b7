// A core, a database and sinks as processes, for tests: events go in at one end, and what the tables say is held
// against the log.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/daemon/test/clients.hpp"
#include "schemas/decimal.hpp"
#include "subscribers/delayed/postgres/testing/database.hpp"

namespace millrace::delayed::postgres::testing {

class WithSinks : public WithDatabase {
 protected:
  using Process = millrace::testing::Process;

  void SetUp() override {
    WithDatabase::SetUp();
    if (IsSkipped()) return;
    core_.emplace(
        millrace::testing::TestCore::InCore{"heartbeat_timeout = \"400ms\"\nlag_limit = 1000\n" + topics_config_});
    reconnect();
  }

  // `words`: more of its command line.
  [[nodiscard]] Process sink(const std::vector<std::string>& words = {},
                             const std::string& topics = "trade_events,account_events,market_l2",
                             const std::string& lease = "700ms") const {
    std::vector<std::string> command{millrace::testing::program("millrace-postgres-sink"),
                                     "--database",
                                     uri(),
                                     "--socket",
                                     core_->socket(),
                                     "--topics",
                                     topics,
                                     "--lease",
                                     lease,
                                     "--batch-age",
                                     "10ms",
                                     "--batch-events",
                                     "500",
                                     "--status-every",
                                     "50ms"};
    command.insert(command.end(), words.begin(), words.end());
    return Process(std::move(command));
  }
  // Exit status and what it said, of one that ends by itself.
  [[nodiscard]] static std::string end_of(Process sink) {
    const auto status = sink.wait();
    return (status ? std::to_string(*status) : "does not end") + ": " + sink.errors();
  }

  // To the core and to the database, also after one of them was killed.
  void reconnect() {
    publishers_.clear();
    bus_ = millrace::testing::connect(*core_);
    ASSERT_NE(bus_, nullptr);
    for (const char* topic : {"trade_events", "account_events", "market_l2"}) {
      // A core that was started anew may have given the name to the connection before, which is only now ending.
      auto publisher = bus_->publisher(topic, "test");
      ASSERT_TRUE(millrace::testing::eventually([&] {
        if (!publisher) publisher = bus_->publisher(topic, "test");
        return publisher.has_value();
      })) << publisher.error().message;
      publishers_.push_back(std::move(*publisher));
    }
  }
  void connect_database() { watch_.emplace(connect(uri())); }

  // So many of each family. Of 1000 trades one is refused by its table.
  void publish(int count) {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t n = published_++;
      publish_one<schemas::TradeEvent>(0, [&](schemas::TradeEvent& trade) {
        schemas::set_text(trade.mutable_instrument(), "MILL");
        trade.mutate_buy_order_id(n);
        trade.mutate_price(static_cast<std::int64_t>(n * 7919 % 1'000'003));
        trade.mutate_price_scale(static_cast<std::uint8_t>(n % 7));
        trade.mutate_aggressor(n % 1000 == 500 ? static_cast<schemas::Side>(99) : schemas::Side::buy);
      });
      publish_one<schemas::AccountEvent>(1, [&](schemas::AccountEvent& account) {
        schemas::set_text(account.mutable_account(), "account-" + std::to_string(n % 17));
        schemas::set_text(account.mutable_currency(), n % 2 == 0 ? "EUR" : "USD");
        account.mutate_balance(static_cast<std::int64_t>(n));
      });
      publish_one<schemas::MarketL2>(2, [&](schemas::MarketL2& book) {
        schemas::set_text(book.mutable_instrument(), "MILL");
        book.mutate_valid_at(n);
      });
    }
  }

  std::string ask(const std::string& sql) { return text_of(*watch_, sql); }
  // Polls until `sql` gives `wanted`; false if it does not come to that.
  [[nodiscard]] bool comes_to(const std::string& sql, const std::string& wanted) {
    return millrace::testing::eventually([&] { return ask(sql) == wanted; });
  }
  // Waits until the checkpoints of all three topics have reached what was published.
  [[nodiscard]] bool all_written() {
    return comes_to("SELECT count(*) FROM sink_checkpoints WHERE next_offset = " + std::to_string(published_), "3");
  }
  // The tables, row by row, are what was published.
  void expect_the_tables_are_the_log() {
    std::string trades, dead;
    std::uint64_t row = 0;
    auto follower = bus_->subscribe("trade_events", {.level = Level::synced, .start = StartEarliest{}}).value();
    ASSERT_TRUE(millrace::testing::eventually([&] {
      follower.poll<schemas::TradeEvent>([&](const schemas::TradeEvent& trade, const Event& event) {
        ASSERT_EQ(event.offset, Offset(row));
        ++row;
        if (trade.aggressor() != schemas::Side::buy) {
          dead += std::to_string(event.offset->value()) + "\n";
          return;
        }
        trades += std::to_string(event.offset->value()) + "|" + std::to_string(trade.buy_order_id()) + "|";
        schemas::append_decimal({trade.price(), trade.price_scale()}, trades);
        trades += "\n";
      });
      return row >= published_;
    }));
    // Whole texts would fill pages where they differ.
    EXPECT_TRUE(ask("SELECT log_offset, buy_order_id, price FROM trades ORDER BY log_offset") + "\n" == trades);
    EXPECT_EQ(ask("SELECT log_offset FROM dead_letters ORDER BY log_offset") + (dead.empty() ? "" : "\n"), dead);
    const std::string all = std::to_string(published_);
    const std::string whole = "|t|0|" + std::to_string(published_ - 1);
    EXPECT_EQ(ask("SELECT count(*), bool_and(balance = log_offset), min(log_offset), max(log_offset) "
                  "FROM account_events"),
              all + whole);
    EXPECT_EQ(ask("SELECT count(*), bool_and(valid_at = log_offset), min(log_offset), max(log_offset) "
                  "FROM order_book_snapshots"),
              all + whole);
    EXPECT_EQ(ask("(SELECT account, currency, balance FROM account_balances) EXCEPT "
                  "(SELECT DISTINCT ON (account, currency) account, currency, balance FROM account_events "
                  "ORDER BY account, currency, log_offset DESC)"),
              "");
    EXPECT_EQ(ask("SELECT count(*) FROM account_balances"), "34");
  }

  // From now on every batch of trades stands for so long within its transaction.
  void slow_down(const std::string& seconds) {
    ask("CREATE OR REPLACE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(" + seconds +
        "); RETURN NULL; END $$; DROP TRIGGER IF EXISTS stand ON trades; "
        "CREATE TRIGGER stand AFTER INSERT ON trades FOR EACH STATEMENT EXECUTE FUNCTION stand()");
  }
  // Publishes until a sink stands within a batch's transaction.
  [[nodiscard]] bool in_a_batch() {
    return millrace::testing::eventually([&] {
      publish(20);
      return ask("SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'") == "t";
    });
  }
  // What the core says of the sink's subscription to trade_events; nullopt if it has none.
  [[nodiscard]] std::optional<control::SubscriberStatusT> seen_by_the_core() {
    const auto topic = millrace::testing::trade_events_status(*bus_);
    if (!topic) return std::nullopt;
    for (const auto& subscriber : topic->subscribers) {
      if (subscriber->name == "millrace-postgres-sink") return *subscriber;
    }
    return std::nullopt;
  }
  // Up to where the core knows trade_events to be stored.
  [[nodiscard]] std::optional<std::uint64_t> acknowledged() {
    const auto topic = millrace::testing::trade_events_status(*bus_);
    if (!topic || topic->consumers.empty()) return std::nullopt;
    return topic->consumers.front()->acked;
  }

  [[nodiscard]] millrace::testing::TestCore& core() { return *core_; }
  [[nodiscard]] Bus& bus() { return *bus_; }
  [[nodiscard]] std::uint64_t published() const { return published_; }

  std::string topics_config_;  // of the core, before SetUp()

 private:
  template <class T, class Fill>
  void publish_one(std::size_t topic, Fill&& fill) {
    ASSERT_TRUE(millrace::testing::eventually([&] { return bool(publishers_[topic].publish<T>(fill)); }));
  }

  std::optional<millrace::testing::TestCore> core_;
  std::unique_ptr<Bus> bus_;
  std::vector<Publisher> publishers_;
  std::optional<Connection> watch_;
  std::uint64_t published_ = 0;
};

}  // namespace millrace::delayed::postgres::testing
