#include "bench/postgres/end_to_end.hpp"

#include <chrono>
#include <cstdio>
#include <thread>

#include "bench/postgres/trades.hpp"
#include "bus/base/assert.hpp"
#include "bus/base/clock.hpp"
#include "bus/daemon/test/clients.hpp"

namespace millrace::bench {
namespace {

using namespace std::chrono_literals;
using delayed::postgres::testing::connect;
using delayed::postgres::testing::text_of;

void until(delayed::postgres::Connection& database, const millrace::testing::Process& sink, const std::string& sql,
           const std::string& wanted) {
  const bool done = millrace::testing::eventually([&] { return text_of(database, sql) == wanted; }, 600s);
  if (!done) std::fprintf(stderr, "%s\n", sink.errors().c_str());
  MILLRACE_ASSERT(done, "the sink comes to an end");
}

double rate(std::uint64_t rows, std::chrono::nanoseconds time) {
  return static_cast<double>(rows) * 1e9 / static_cast<double>(time.count());
}

}  // namespace

EndToEnd end_to_end(delayed::postgres::testing::Cluster& cluster, const std::string& database, std::uint64_t rows,
                    std::uint64_t batch) {
  const millrace::testing::TestCore core;
  const std::string uri = cluster.database(database);
  const millrace::testing::Process sink({millrace::testing::program("millrace-postgres-sink"), "--database", uri,
                                         "--socket", core.socket(), "--topics", "trade_events", "--batch-events",
                                         std::to_string(batch)});
  auto watch = connect(uri);
  until(watch, sink, "SELECT to_regclass('sink_checkpoints') IS NOT NULL", "t");
  until(watch, sink, "SELECT count(*) FROM sink_checkpoints", "1");
  const auto bus = millrace::testing::connect(core);
  MILLRACE_ASSERT(bus != nullptr, "the core answers");
  auto publisher = bus->publisher("trade_events", "bench");
  MILLRACE_ASSERT(publisher, "the publisher attaches");

  (void)text_of(watch, "CHECKPOINT");
  const MonotonicTime begin = system_clock().monotonic();
  for (std::uint64_t i = 0; i < rows; ++i) {
    while (!publisher->publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) { fill_trade(trade, i); })) {
      std::this_thread::yield();
    }
  }
  const MonotonicTime published = system_clock().monotonic();
  until(watch, sink, "SELECT next_offset FROM sink_checkpoints", std::to_string(rows));
  const MonotonicTime end = system_clock().monotonic();
  MILLRACE_ASSERT(text_of(watch, "SELECT count(*), bool_and(buy_order_id = 2 * log_offset) FROM trades") ==
                      std::to_string(rows) + "|t",
                  "each trade is a row");
  return {rate(rows, end - begin), rate(rows, published - begin)};
}

}  // namespace millrace::bench
