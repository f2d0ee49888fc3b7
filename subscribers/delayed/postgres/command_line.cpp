#include "subscribers/delayed/postgres/command_line.hpp"

#include <CLI/CLI.hpp>
#include <map>
#include <random>
#include <set>

#include "bus/base/limits.hpp"

namespace millrace::delayed::postgres {
namespace {

constexpr const char* kAbout =
    "Brings events into PostgreSQL, each once: trade_events, account_events and market_l2 into the tables trades,\n"
    "account_events, account_balances and order_book_snapshots. Several may run under one name: one writes, the\n"
    "others stand by. Makes and migrates its tables at the start. What a table refuses goes to dead_letters.";

using Nanoseconds = std::chrono::nanoseconds;

// A time such as 100ms or 2s.
CLI::Option* add_time(CLI::App& app, const std::string& name, std::int64_t& ns, const std::string& about) {
  const std::map<std::string, std::int64_t> units{{"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
  return app.add_option(name, ns, about)
      ->transform(CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::UNIT_REQUIRED, "TIME"))
      ->check(CLI::Range(std::int64_t{1'000}, std::int64_t{86'400'000'000'000}).description(""))
      ->option_text("TIME");
}

std::string check_names(const SinkOptions& sink) {
  if (!limits::is_name(sink.name, limits::consumer_name_size_max)) {
    return "--name: a durable consumer's name has 1 to " + std::to_string(limits::consumer_name_size_max) +
           " of a-z 0-9 _ - . ; this is '" + sink.name + "'";
  }
  std::set<std::string> seen;
  for (const std::string& topic : sink.topics) {
    if (!seen.insert(topic).second) return "--topics: '" + topic + "' is there twice";
  }
  return {};
}

}  // namespace

std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments) {
  CommandLine line;
  SinkOptions& sink = line.sink;
  std::int64_t age = sink.limits.age.count(), lease = sink.lease.count(), timeout = sink.timeout.count(),
               status = sink.status_every.count();
  std::string from = "earliest";
  CLI::App app(kAbout, "millrace-postgres-sink");
  app.add_option(
         "--database", sink.database,
         "As psql takes it: postgresql://user@host/database, or host=... dbname=...; passwords are best kept in "
         "~/.pgpass")
      ->required();
  auto* const topics = app.add_option("--topics", sink.topics, "With commas between")->delimiter(',');
  app.add_option("--name", sink.name, "Of the sink, and of its durable consumer at the core")->capture_default_str();
  app.add_option("--from", from, "Where a topic begins that the database has nothing of: earliest or latest")
      ->capture_default_str()
      ->check(CLI::IsMember({"earliest", "latest"}).description(""));
  add_time(app, "--batch-age", age, "A batch is closed so long after its first event (default 100ms)");
  app.add_option("--batch-events", sink.limits.events, "... or when it has so many")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}).description(""));
  app.add_option("--batch-bytes", sink.limits.bytes, "... or so many bytes")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{256} << 20).description(""));
  add_time(app, "--lease", lease, "Another process takes over when the leader is silent for so long (default 10s)");
  add_time(app, "--timeout", timeout, "The most that connecting, or a statement, may take (default 30s)");
  add_time(app, "--status-every", status, "How often the row in sink_status is written (default 1s)");
  auto* const migrate = app.add_flag("--migrate-only", line.migrate_only, "Make or migrate the tables, and end");
  app.add_option("--socket", line.socket, "The core's control socket (default: $MILLRACE_SOCKET, or the usual place)");
  app.add_option("--log-level", line.log_level, "trace, debug, info, warn, error or off")
      ->capture_default_str()
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}).description(""));
  try {
    app.parse(count, arguments);
    if (topics->count() == 0 && migrate->count() == 0) throw CLI::RequiredError("--topics");
    if (const auto wrong = check_names(sink); !wrong.empty()) throw CLI::ValidationError(wrong);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  sink.limits.age = Nanoseconds(age);
  sink.lease = Nanoseconds(lease);
  sink.timeout = Nanoseconds(timeout);
  sink.status_every = Nanoseconds(status);
  sink.breaker.seed = std::random_device()();
  if (from == "latest") sink.start = StartLatest{};
  return line;
}

}  // namespace millrace::delayed::postgres
