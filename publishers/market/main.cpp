// millrace-market: publishes recorded market data on trade_events and market_l2, as fast as possible or at its own
// pace.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "publishers/market/binance.hpp"
#include "publishers/market/captures.hpp"
#include "publishers/market/oracles.hpp"
#include "publishers/market/outlet.hpp"
#include "publishers/market/pacer.hpp"
#include "publishers/market/replay.hpp"
#include "publishers/market/sse_day.hpp"

namespace millrace::market {
namespace {

volatile std::sig_atomic_t g_told_to_end = 0;

Result<std::unique_ptr<Replay>> open_feed(Result<std::unique_ptr<Feed>> feed) {
  if (!feed) return fail(feed.error());
  return replay_feed(std::move(*feed));
}

Result<std::unique_ptr<Replay>> open_replay(const std::string& format, const std::vector<std::string>& files,
                                            const std::string& instrument) {
  const std::size_t wanted = format == "lobster" ? 2 : 1;
  if (files.size() != wanted) {
    return fail(ErrorCode::invalid_argument, format + " takes " + std::to_string(wanted) + " file(s): " +
                                                 (wanted == 2 ? "messages and order book" : "the recording"));
  }
  if (format == "lobster") return replay_lobster(files[0], files[1], instrument, WallTime{0});
  if (format == "sse") {
    auto day = SseDay::load(files[0], matching::InstrumentId(0), WallTime{0});
    if (!day) return fail(day.error());
    return replay_sse(std::move(*day), instrument);
  }
  if (format == "binance") return open_feed(open_binance(files[0]));
  if (format == "coinbase") return open_feed(open_coinbase(files[0]));
  if (format == "kraken") return open_feed(open_kraken(files[0]));
  return open_feed(open_okx(files[0]));
}

WallTime time_of(const MarketEvent& event) {
  if (const auto* trade = std::get_if<TradePrint>(&event)) return trade->matched;
  return std::get<BookView>(event).time;
}

struct Options {
  std::string format;
  std::vector<std::string> files;
  std::string pace = "flat_out";
  std::string instrument = "600519";
  std::string socket;
  std::string name = "market";
  std::string idle = "back_off";
};

Status publish_all(const Options& options, std::uint64_t& count) {
  const auto pace = parse_pace(options.pace);
  if (!pace) return fail(pace.error());
  auto idle = make_idle_strategy(options.idle);
  if (!idle) return fail(idle.error());
  auto replay = open_replay(options.format, options.files, options.instrument);
  if (!replay) return fail(replay.error());
  auto bus = Bus::connect({.name = "millrace-market", .socket = options.socket});
  if (!bus) return fail(bus.error());
  auto trades = (*bus)->publisher("trade_events", options.name);
  if (!trades) return fail(trades.error());
  auto books = (*bus)->publisher("market_l2", options.name);
  if (!books) return fail(books.error());

  MarketOutlet outlet(*trades, *books);
  Pacer pacer(*pace);
  while (g_told_to_end == 0) {
    const auto event = (*replay)->next();
    if (!event) return fail(event.error());
    if (!*event) break;
    const MonotonicTime due = pacer.due(time_of(**event), system_clock().monotonic());
    while (g_told_to_end == 0 && system_clock().monotonic() < due) {
      outlet.idle();
      (*idle)->idle(0);
    }
    PublishStatus status = outlet.publish(**event);
    while (g_told_to_end == 0 && (status == PublishStatus::back_pressured || status == PublishStatus::refused ||
                                  status == PublishStatus::disconnected)) {
      (*idle)->idle(0);
      status = outlet.publish(**event);
    }
    if (status == PublishStatus::ok) {
      ++count;
      (*idle)->idle(1);
    } else if (g_told_to_end == 0) {
      return fail(ErrorCode::invalid_argument, "an event could not be published: " + std::string(to_string(status)));
    }
  }
  while (g_told_to_end == 0 && !outlet.recorded()) {
    outlet.idle();
    (*idle)->idle(0);
  }
  return {};
}

int main(int argc, char** argv) {
  CLI::App app{"millrace-market: publishes recorded market data on trade_events and market_l2"};
  app.footer(
      "Examples:\n"
      "  millrace-market sse 2023-02-07.log.zst --instrument 600519 --pace 10x\n"
      "  millrace-market lobster messages.csv.gz orderbook.csv.gz --instrument AMZN\n"
      "  millrace-market binance spot.gz --pace recorded");
  Options options;
  app.add_option("format", options.format, "sse, lobster, binance, coinbase, kraken or okx")
      ->required()
      ->check(CLI::IsMember({"sse", "lobster", "binance", "coinbase", "kraken", "okx"}));
  app.add_option("file", options.files, "the recording, plain, .gz or .zst; lobster: messages and order book")
      ->required();
  app.add_option("--pace", options.pace, "flat_out, recorded, or a multiple such as 10x")->capture_default_str();
  app.add_option("--instrument", options.instrument, "for sse and lobster, whose files do not name it")
      ->capture_default_str();
  app.add_option("--socket", options.socket, "the core's control socket")->envname("MILLRACE_SOCKET");
  app.add_option("--name", options.name, "of the publisher")->capture_default_str();
  app.add_option("--idle", options.idle, "spin, yield or back_off")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  struct sigaction action = {};
  action.sa_handler = [](int) { g_told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  std::uint64_t count = 0;
  const Status status = publish_all(options, count);
  std::fprintf(stderr, "millrace-market: %lu events published\n", count);
  if (status) return 0;
  std::fprintf(stderr, "millrace-market: %s\n", status.error().message.c_str());
  return status.error().code == ErrorCode::invalid_argument ? 2 : 1;
}

}  // namespace
}  // namespace millrace::market

int main(int argc, char** argv) {
  return millrace::market::main(argc, argv);
}
