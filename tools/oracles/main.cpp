// millrace-oracle: publishes each recording of real data through a running bus, reads it back by a shared-memory
// follower, a WebSocket client and the log, and holds each reading against what the venue itself recorded. tools/oracle
// starts what it needs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "publishers/market/oracles.hpp"
#include "publishers/market/outlet.hpp"
#include "publishers/matching/translate.hpp"
#include "tools/oracles/readings.hpp"

namespace millrace::oracles {
namespace {

struct Setting {
  std::string data, socket;
  std::uint16_t gateway_port = 0;
  std::string matching;  // instrument of a millrace-matching that reads `orders`, empty: none runs
};

bool all_as_expected = true;

void print(const std::string& name, const std::string& via, std::uint64_t matched, std::uint64_t expected) {
  std::printf("%s[%s]: %lu of %lu\n", name.c_str(), via.c_str(), matched, expected);
  std::fflush(stdout);
  if (matched != expected || expected == 0) all_as_expected = false;
}

// Publishes the whole recording; waits until it is in the log.
Status publish(market::Replay& replay, Publisher& trades, Publisher& books) {
  market::MarketOutlet outlet(trades, books);
  BackOffIdle idle;
  for (;;) {
    const auto event = replay.next();
    if (!event) return fail(event.error());
    if (!*event) break;
    for (;;) {
      const PublishStatus status = outlet.publish(**event);
      idle.idle(status == PublishStatus::ok ? 1 : 0);
      if (status == PublishStatus::ok) break;
      if (status != PublishStatus::back_pressured && status != PublishStatus::disconnected) {
        return fail(ErrorCode::internal, "not published: " + std::string(to_string(status)));
      }
    }
  }
  while (!outlet.recorded()) idle.idle(0);
  return {};
}

// The three readings of the same offsets, each with a check of its own.
Status read_and_check(Bus& bus, const Setting& setting, const std::string& name, const Span& trades, const Span& books,
                      const std::function<Result<std::unique_ptr<market::OracleCheck>>()>& make_check,
                      std::optional<Offset> valid_at_cause_of) {
  Digest first;
  for (const Via via : {Via::follower, Via::websocket, Via::log}) {
    auto check = make_check();
    if (!check) return fail(check.error());
    Digest digest;
    const auto feed = [&](const Span& span) {
      return read_span(bus, setting.gateway_port, via, span, [&](Offset offset, const FrameView& frame) {
        digest.add(offset, frame);
        deliver(frame, **check, valid_at_cause_of);
      });
    };
    MILLRACE_TRY(feed(trades));
    MILLRACE_TRY(feed(books));
    for (const market::OracleResult& result : (*check)->results()) {
      print(result.name, to_string(via), result.matched, result.expected);
    }
    if (via == Via::follower) {
      first = digest;
    } else {
      print(name + " same events in the same order as the follower", to_string(via), digest == first ? first.count : 0,
            first.count);
    }
  }
  return {};
}

Status run_replays(Bus& bus, const Setting& setting) {
  auto trades = bus.publisher("trade_events", "oracle");
  if (!trades) return fail(trades.error());
  auto books = bus.publisher("market_l2", "oracle");
  if (!books) return fail(books.error());
  for (const market::OracleSpec& spec : market::all_oracles()) {
    auto oracle = spec.open(setting.data);
    if (!oracle) return fail(oracle.error());
    const auto trades_from = recorded_end(bus, "trade_events");
    const auto books_from = recorded_end(bus, "market_l2");
    if (!trades_from || !books_from) return fail(ErrorCode::internal, "the core names no recorded end");
    MILLRACE_TRY(publish(*oracle->replay, *trades, *books));
    const Span trade_span{"trade_events", *trades_from, *recorded_end(bus, "trade_events")};
    const Span book_span{"market_l2", *books_from, *recorded_end(bus, "market_l2")};
    const auto make_check = [&]() -> Result<std::unique_ptr<market::OracleCheck>> {
      auto again = spec.open(setting.data);
      if (!again) return fail(again.error());
      return std::move(again->check);
    };
    MILLRACE_TRY(read_and_check(bus, setting, spec.name, trade_span, book_span, make_check, std::nullopt));
  }
  return {};
}

// The whole chain: the day's orders on the topic `orders`, another process matches them, its trades and books are
// checked.
Status run_matching(Bus& bus, const Setting& setting) {
  auto day = market::load_sse_day(setting.data, matching::InstrumentId(0));
  if (!day) return fail(day.error());
  const matching::InstrumentConfig config = day->instrument_config(setting.matching);
  auto orders = bus.publisher("orders", "oracle");
  if (!orders) return fail(orders.error());
  const auto orders_from = recorded_end(bus, "orders");
  const auto trades_from = recorded_end(bus, "trade_events");
  const auto books_from = recorded_end(bus, "market_l2");
  const auto events_from = recorded_end(bus, "order_events");
  if (!orders_from || !trades_from || !books_from || !events_from) {
    return fail(ErrorCode::internal, "the core names no recorded end");
  }
  BackOffIdle idle;
  const auto send = [&](const matching::Command& command, WallTime time) {
    for (;;) {
      const Published done = orders->publish<schemas::OrderCommand>(
          [&](schemas::OrderCommand& event) { matching::write(command, config, "", time, event); });
      idle.idle(done ? 1 : 0);
      if (done) return;
    }
  };
  // The day begins in an auction with yesterday's close as its reference; the process began in continuous trading.
  send(matching::SetPhase{matching::InstrumentId(0), config.phase, config.reference}, WallTime{0});
  for (const market::SseDay::TimedCommand& command : day->commands()) send(command.command, command.input.time);
  const Offset last(orders_from->value() + day->commands().size());
  MILLRACE_TRY(wait_for_cause(bus, Span{"order_events", *events_from, Offset(UINT64_MAX)},
                              Span{"market_l2", *books_from, Offset(UINT64_MAX)}, last));
  const Span trade_span{"trade_events", *trades_from, *recorded_end(bus, "trade_events")};
  const Span book_span{"market_l2", *books_from, *recorded_end(bus, "market_l2")};
  const auto make_check = [&]() -> Result<std::unique_ptr<market::OracleCheck>> {
    auto check = market::make_sse_check(*day);
    return check;
  };
  return read_and_check(bus, setting, "sse-600519 matched by millrace-matching", trade_span, book_span, make_check,
                        orders_from->next());
}

int main(int argc, char** argv) {
  CLI::App app{"millrace-oracle: real data through a running bus, held against what the venues recorded"};
  Setting setting;
  app.add_option("--data", setting.data, "folder of the recordings")->required();
  app.add_option("--socket", setting.socket, "the core's control socket")->required();
  app.add_option("--gateway-port", setting.gateway_port, "of the gateway on 127.0.0.1")->required();
  app.add_option("--matching", setting.matching, "instrument of a millrace-matching that reads the topic orders");
  CLI11_PARSE(app, argc, argv);
  auto bus = Bus::connect({.name = "millrace-oracle", .socket = setting.socket});
  Status status = bus ? run_replays(**bus, setting) : fail(bus.error());
  if (status && !setting.matching.empty()) status = run_matching(**bus, setting);
  if (!status) {
    std::fprintf(stderr, "millrace-oracle: %s\n", status.error().message.c_str());
    return 1;
  }
  return all_as_expected ? 0 : 1;
}

}  // namespace
}  // namespace millrace::oracles

int main(int argc, char** argv) {
  return millrace::oracles::main(argc, argv);
}
