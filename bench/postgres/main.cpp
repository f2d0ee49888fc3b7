// How many trades a second the sink's writer brings into PostgreSQL, beside psql's own \copy of the same rows into the
// same table, and libpqxx's stream, each on a server of its own making. In turns, so that all meet the same machine.
// And with --end-to-end: from a publisher through a core and a sink.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <list>
#include <pqxx/pqxx>
#include <string>
#include <tuple>
#include <vector>

#include "bench/postgres/end_to_end.hpp"
#include "bench/postgres/trades.hpp"
#include "bus/base/assert.hpp"
#include "bus/base/clock.hpp"
#include "subscribers/delayed/postgres/migrations.hpp"
#include "subscribers/delayed/postgres/testing/cluster.hpp"
#include "subscribers/delayed/postgres/testing/events.hpp"
#include "subscribers/delayed/postgres/writer.hpp"

namespace millrace::bench {
namespace {

using namespace delayed::postgres;
using delayed::Batch;
using delayed::postgres::testing::Cluster;
using delayed::postgres::testing::MadeEvents;
using delayed::postgres::testing::query;
using delayed::postgres::testing::text_of;
using schemas::TradeEvent;

const LogId log_id{{1}};

struct Bench {
  Cluster& cluster;
  Connection& connection;
  std::uint64_t rows;
  std::uint64_t batch;
};

void fill(MadeEvents<TradeEvent>& events, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    events.add([&](TradeEvent& trade) { fill_trade(trade, i); });
  }
}

void empty(Bench& bench) {
  query(bench.connection, "TRUNCATE trades; CHECKPOINT");
}

double rows_a_second(std::uint64_t rows, MonotonicTime begin) {
  return static_cast<double>(rows) * 1e9 / static_cast<double>((system_clock().monotonic() - begin).count());
}

// What the rows in the table come to: the same, whoever brought them.
std::string digest(Bench& bench) {
  return text_of(bench.connection,
                 "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM (SELECT topic, log_offset, trade_id, "
                 "instrument, price, quantity, aggressor, buyer_account, seller_account, buy_order_id, sell_order_id, "
                 "matched_ns FROM trades) t");
}

double write(Bench& bench, Writer& writer, const Lease& lease) {
  empty(bench);
  query(bench.connection, "DELETE FROM sink_checkpoints");
  MILLRACE_ASSERT(create_checkpoint(bench.connection, "trade_events", {log_id, Run(1), Offset(0)}, lease),
                  "a checkpoint to begin at");
  std::list<MadeEvents<TradeEvent>> batches;
  for (std::uint64_t at = 0; at < bench.rows; at += bench.batch) {
    fill(batches.emplace_back(at), at, std::min(bench.batch, bench.rows - at));
  }
  const MonotonicTime begin = system_clock().monotonic();
  for (const auto& batch : batches) {
    const auto written = writer.write(batch.batch(), log_id, Run(1), lease);
    MILLRACE_ASSERT(written && written->dead == 0, "every row is taken");
  }
  return rows_a_second(bench.rows, begin);
}

// The rows as a file that psql takes.
void make_file(Bench& bench, const std::string& path) {
  query(bench.connection, "SELECT 1");
  millrace::testing::Process psql({delayed::postgres::testing::server_programs() + "/psql", "-X", "-q", "-d",
                                   bench.cluster.uri(), "-c", "\\copy trades TO " + path});
  MILLRACE_ASSERT(psql.wait(std::chrono::seconds(600)) == 0, "the rows are in a file");
}

double copy_by_psql(Bench& bench, const std::string& path) {
  empty(bench);
  const MonotonicTime begin = system_clock().monotonic();
  millrace::testing::Process psql({delayed::postgres::testing::server_programs() + "/psql", "-X", "-q", "-d",
                                   bench.cluster.uri(), "-c", "\\copy trades FROM " + path});
  MILLRACE_ASSERT(psql.wait(std::chrono::seconds(600)) == 0, "psql copies");
  return rows_a_second(bench.rows, begin);
}

double stream_by_pqxx(Bench& bench, const std::string& path) {
  empty(bench);
  pqxx::connection connection(bench.cluster.uri());
  std::ifstream file(path);
  const MonotonicTime begin = system_clock().monotonic();
  pqxx::work work(connection);
  pqxx::stream_to stream(work, "trades");
  std::vector<std::string> fields;
  for (std::string line; std::getline(file, line);) {
    fields.clear();
    for (std::size_t at = 0, end = 0; end != std::string::npos; at = end + 1) {
      end = line.find('\t', at);
      fields.push_back(line.substr(at, end - at));
    }
    const auto& f = fields;
    stream << std::tie(f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12], f[13]);
  }
  stream.complete();
  work.commit();
  return rows_a_second(bench.rows, begin);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int main(int argc, char** argv) {
  CLI::App app{"trades a second into PostgreSQL"};
  std::uint64_t rows = 1'000'000, batch = 10'000;
  int turns = 5;
  app.add_option("--rows", rows, "of each turn")->capture_default_str();
  app.add_option("--batch", batch, "rows of a transaction of the sink")->capture_default_str();
  app.add_option("--turns", turns, "of each")->capture_default_str();
  bool whole_way = false;
  app.add_flag("--end-to-end", whole_way, "from a publisher, flat out, through a core and a sink into the table");
  CLI11_PARSE(app, argc, argv);
  if (delayed::postgres::testing::server_programs().empty()) {
    std::printf("skipped: PostgreSQL's server is not installed, run tools/setup\n");
    return 77;
  }
  Cluster cluster(true);
  if (whole_way) {
    std::vector<double> all;
    for (int turn = 0; turn < turns; ++turn) {
      const EndToEnd one = end_to_end(cluster, "turn_" + std::to_string(turn), rows, batch);
      all.push_back(one.rows_a_second);
      std::printf("turn %d: published %.0f trades/s, in the table %.0f rows/s\n", turn + 1, one.published_a_second,
                  one.rows_a_second);
    }
    std::printf("median of %lu trades, publisher to table, %lu a transaction: %.0f rows/s\n", rows, batch, median(all));
    return 0;
  }
  Connection connection = delayed::postgres::testing::connect(cluster.uri());
  Bench bench{cluster, connection, rows, batch};
  MILLRACE_ASSERT(migrate(connection, embedded_migrations()), "the tables are made");
  const Lease lease{"bench", elect(connection, "bench", "bench", std::chrono::hours(1)).value().value(),
                    std::chrono::hours(1)};
  const auto registry = schemas::Registry::built_in();
  const schemas::EventType& type = *registry.find("trade_events");
  Writer writer(connection, *tables_of(type), type, "trade_events");

  const std::string path = cluster.folder() + "/rows";
  (void)write(bench, writer, lease);  // warms all up, and makes the rows
  make_file(bench, path);
  const std::string wanted = digest(bench);
  std::vector<double> ours, psqls, streams;
  for (int turn = 0; turn < turns; ++turn) {
    ours.push_back(write(bench, writer, lease));
    MILLRACE_ASSERT(digest(bench) == wanted, "the sink's rows are those");
    psqls.push_back(copy_by_psql(bench, path));
    MILLRACE_ASSERT(digest(bench) == wanted, "psql's rows are those");
    streams.push_back(stream_by_pqxx(bench, path));
    MILLRACE_ASSERT(digest(bench) == wanted, "libpqxx's rows are those");
    std::printf("turn %d: sink %.0f rows/s, psql \\copy %.0f, pqxx::stream_to %.0f\n", turn + 1, ours.back(),
                psqls.back(), streams.back());
  }
  std::printf("%lu trades, digest %s\n", rows, wanted.c_str());
  std::printf("medians: sink, %lu a transaction %.0f rows/s; psql \\copy, all in one %.0f rows/s; ratio %.2f\n", batch,
              median(ours), median(psqls), median(ours) / median(psqls));
  std::printf("         pqxx::stream_to, all in one, straight into the table %.0f rows/s\n", median(streams));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main(argc, argv);
}
