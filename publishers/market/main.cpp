// millrace-market: publishes recorded market data on trade_events and market_l2, or a recorded day's orders on orders,
// as fast as possible or at its own pace.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "publishers/market/binance.hpp"
#include "publishers/market/captures.hpp"
#include "publishers/market/outlet.hpp"
#include "publishers/market/pacer.hpp"
#include "publishers/market/replay.hpp"
#include "publishers/market/sse_day.hpp"

namespace millrace::market {
namespace {

constexpr const char* kAbout =
    "Publishes recorded market data: trades on the topic 'trade_events', the ten best levels of books on\n"
    "'market_l2'. Waits where the bus is behind; ends when all of it is in the log.\n\n"
    "  sse       Shanghai level 2 as text, through a matching engine; with --orders as the orders themselves\n"
    "  lobster   LOBSTER's message file and order book file\n"
    "  binance   raw WebSocket lines, spot or USD-M futures\n"
    "  coinbase, kraken, okx   raw WebSocket captures\n\n"
    "Exit status: 0 when all was published, or after SIGTERM or SIGINT; 1 after an error; 2 after a mistake on the\n"
    "command line.";

constexpr const char* kExamples =
    "Examples:\n"
    "  millrace-market sse 2023-02-07.log.zst --instrument 600519 --pace 10x\n"
    "  millrace-market sse 2023-02-07.log.zst --instrument 600519 --orders\n"
    "  millrace-market lobster message.csv.gz orderbook.csv.gz --instrument AMZN\n"
    "  millrace-market binance spot.gz --pace recorded";

volatile std::sig_atomic_t g_told_to_end = 0;

bool told_to_end() {
  return g_told_to_end != 0;
}

struct Options {
  std::string format;
  std::vector<std::string> files;
  bool orders = false;
  std::string pace = "flat_out";
  std::string instrument = "600519";
  std::int64_t midnight_s = 0;
  std::string socket;
  std::string name = "market";
  std::string idle = "back_off";

  [[nodiscard]] WallTime midnight() const { return {midnight_s * 1'000'000'000}; }
};

Result<std::unique_ptr<Replay>> replay(Result<std::unique_ptr<Feed>> feed, std::size_t depth_max = 0) {
  if (!feed) return fail(feed.error());
  return replay_feed(std::move(*feed), depth_max);
}

Result<std::unique_ptr<Replay>> open_replay(const Options& options) {
  const auto& files = options.files;
  if (options.format == "lobster") return replay_lobster(files[0], files[1], options.instrument, options.midnight());
  if (options.format == "binance") return replay(open_binance(files[0]));
  if (options.format == "coinbase") return replay(open_coinbase(files[0]));
  if (options.format == "kraken") return replay(open_kraken(files[0]), kKrakenDepth);
  if (options.format == "okx") return replay(open_okx(files[0]));
  auto day = SseDay::load(files[0], matching::InstrumentId(0), options.midnight());
  if (!day) return fail(day.error());
  return replay_sse(std::move(*day), options.instrument);
}

WallTime time_of(const MarketEvent& event) {
  if (const auto* trade = std::get_if<TradePrint>(&event)) return trade->matched;
  return std::get<BookView>(event).time;
}

// Sends one event after the other through an outlet, each when it is due, and counts them.
class Sender {
 public:
  Sender(Pace pace, IdleStrategy& idle) : pacer_(pace), idle_(idle) {}

  // `publish`: an attempt. Returns early, without an error, when told to end.
  template <class Outlet, class Publish>
  [[nodiscard]] Status send(Outlet& outlet, WallTime recorded, Publish&& publish) {
    const MonotonicTime due = pacer_.due(recorded, system_clock().monotonic());
    while (!told_to_end() && system_clock().monotonic() < due) wait(outlet);
    while (!told_to_end()) {
      switch (const PublishStatus status = publish()) {
        case PublishStatus::ok:
          ++count_;
          idle_.idle(1);
          return {};
        case PublishStatus::back_pressured:
        case PublishStatus::refused:
        case PublishStatus::disconnected:
          idle_.idle(0);
          break;
        default:
          return fail(ErrorCode::internal, "an event could not be published: " + std::string(to_string(status)));
      }
    }
    return {};
  }
  template <class Outlet>
  void wait_until_recorded(Outlet& outlet) {
    while (!told_to_end() && !outlet.recorded()) wait(outlet);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  template <class Outlet>
  void wait(Outlet& outlet) {
    outlet.idle();
    idle_.idle(0);
  }

  Pacer pacer_;
  IdleStrategy& idle_;
  std::uint64_t count_ = 0;
};

Status publish_market(const Options& options, Sender& sender) {
  const auto source = open_replay(options);
  if (!source) return fail(source.error());
  auto bus = Bus::connect({.name = "millrace-market", .socket = options.socket});
  if (!bus) return fail(bus.error());
  auto trades = (*bus)->publisher("trade_events", options.name);
  if (!trades) return fail(trades.error());
  auto books = (*bus)->publisher("market_l2", options.name);
  if (!books) return fail(books.error());
  MarketOutlet outlet(*trades, *books);
  while (!told_to_end()) {
    const auto event = (*source)->next();
    if (!event) return fail(event.error());
    if (!*event) break;
    MILLRACE_TRY(sender.send(outlet, time_of(**event), [&] { return outlet.publish(**event); }));
  }
  sender.wait_until_recorded(outlet);
  return {};
}

Status publish_orders(const Options& options, Sender& sender) {
  auto day = SseDay::load(options.files[0], matching::InstrumentId(0), options.midnight());
  if (!day) return fail(day.error());
  auto bus = Bus::connect({.name = "millrace-market", .socket = options.socket});
  if (!bus) return fail(bus.error());
  auto orders = (*bus)->publisher("orders", options.name);
  if (!orders) return fail(orders.error());
  OrderOutlet outlet(*orders, day->instrument_config(options.instrument));
  const auto* command = day->next();
  if (command == nullptr) return fail(ErrorCode::not_found, options.files[0] + " holds no orders");
  MILLRACE_TRY(sender.send(outlet, command->input.time, [&] { return outlet.begin(command->input.time); }));
  for (; command != nullptr && !told_to_end(); command = day->next()) {
    MILLRACE_TRY(sender.send(outlet, command->input.time,
                             [&] { return outlet.publish(command->command, command->input.time); }));
  }
  sender.wait_until_recorded(outlet);
  return {};
}

// What CLI11 does not check.
void check(const Options& options) {
  const std::size_t wanted = options.format == "lobster" ? 2 : 1;
  if (options.files.size() != wanted) {
    throw CLI::ValidationError(
        "file", wanted == 2 ? "lobster takes two, messages and order book" : options.format + " takes one");
  }
  if (options.orders && options.format != "sse") throw CLI::ValidationError("--orders", "only sse has the orders");
  if (options.instrument.empty() || options.instrument.size() > matching::kInstrumentNameBytesMax) {
    throw CLI::ValidationError("--instrument", "a name has 1 to 16 bytes");
  }
}

int run(int argc, char** argv) {
  Options options;
  Pace pace;
  CLI::App app(kAbout, "millrace-market");
  app.footer(kExamples);
  app.add_option("format", options.format, "sse, lobster, binance, coinbase, kraken or okx")
      ->required()
      ->check(CLI::IsMember({"sse", "lobster", "binance", "coinbase", "kraken", "okx"}).description(""));
  app.add_option("file", options.files, "The recording, plain, .gz or .zst; lobster: messages, then order book")
      ->required()
      ->check(CLI::ExistingFile.description(""));
  app.add_flag("--orders", options.orders,
               "sse: publish the orders on the topic 'orders', for millrace-matching to make the trades");
  app.add_option("--pace", options.pace, "flat_out, recorded, or a multiple such as 10x")->capture_default_str();
  app.add_option("--instrument", options.instrument, "sse, lobster: its name, which the files do not tell")
      ->capture_default_str();
  app.add_option("--midnight", options.midnight_s,
                 "sse, lobster: midnight of the recorded day at the venue, in seconds since 1970-01-01 UTC; the files "
                 "tell only times of day")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{9'000'000'000}).description(""));
  app.add_option("--socket", options.socket,
                 "The core's control socket (default: $MILLRACE_SOCKET, or the usual place)");
  app.add_option("--name", options.name, "Of the publisher in its topics")->capture_default_str();
  app.add_option("--idle", options.idle, "What to do when there is nothing to do: spin, yield or back_off")
      ->capture_default_str()
      ->check(CLI::IsMember({"spin", "yield", "back_off"}).description(""));
  try {
    app.parse(argc, argv);
    check(options);
    const auto parsed = parse_pace(options.pace);
    if (!parsed) throw CLI::ValidationError("--pace", parsed.error().message);
    pace = *parsed;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  struct sigaction action = {};
  action.sa_handler = [](int) { g_told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  const auto idle = make_idle_strategy(options.idle);
  Sender sender(pace, **idle);
  const Status status = options.orders ? publish_orders(options, sender) : publish_market(options, sender);
  std::fprintf(stderr, "millrace-market: %lu events published\n", sender.count());
  if (status) return 0;
  std::fprintf(stderr, "millrace-market: %s\n", status.error().message.c_str());
  return 1;
}

}  // namespace
}  // namespace millrace::market

int main(int argc, char** argv) {
  return millrace::market::run(argc, argv);
}
