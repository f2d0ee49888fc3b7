// millrace-oracle: publishes each recording of real data through a running bus, reads it back by a shared-memory
// follower and a WebSocket client while it goes on, and from the log, and holds each reading against what the venue
// itself recorded. tools/oracle starts what it needs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "publishers/market/oracles.hpp"
#include "publishers/market/outlet.hpp"
#include "tools/oracles/readings.hpp"

namespace millrace::oracles {
namespace {

using MakeCheck = std::function<Result<std::unique_ptr<market::OracleCheck>>()>;

class Oracles {
 public:
  Oracles(Bus& bus, std::string data, std::uint16_t gateway_port)
      : bus_(bus), data_(std::move(data)), gateway_port_(gateway_port) {}

  // Each recording, published here.
  [[nodiscard]] Status run_replays();
  // The whole chain: the orders of the day in Shanghai on the topic `orders`, which another process matches.
  [[nodiscard]] Status run_matching(const std::string& instrument);
  [[nodiscard]] bool all_as_expected() const { return all_as_expected_; }

 private:
  // Three readings, each with a check of its own. `make_events` has the events made and returns where they end.
  [[nodiscard]] Status read_and_check(const std::string& prefix, const std::string& name,
                                      std::optional<Reading::Causes> causes, const MakeCheck& make_check,
                                      const std::function<Result<Offsets>()>& make_events);
  void print(const std::string& name, Via via, std::uint64_t matched, std::uint64_t expected);

  Bus& bus_;
  std::string data_;
  std::uint16_t gateway_port_;
  bool all_as_expected_ = true;
};

// Again and again until it is in the ring.
template <class Publish>
Status publish(BackOffIdle& idle, Publish&& attempt) {
  for (;;) {
    const PublishStatus status = attempt();
    idle.idle(status == PublishStatus::ok ? 1 : 0);
    if (status == PublishStatus::ok) return {};
    if (status != PublishStatus::back_pressured && status != PublishStatus::disconnected) {
      return fail(ErrorCode::internal, "not published: " + std::string(to_string(status)));
    }
  }
}

void Oracles::print(const std::string& name, Via via, std::uint64_t matched, std::uint64_t expected) {
  std::printf("%s[%s]: %lu of %lu\n", name.c_str(), to_string(via).c_str(), matched, expected);
  std::fflush(stdout);
  if (matched != expected || expected == 0) all_as_expected_ = false;
}

Status Oracles::read_and_check(const std::string& prefix, const std::string& name,
                               std::optional<Reading::Causes> causes, const MakeCheck& make_check,
                               const std::function<Result<Offsets>()>& make_events) {
  const auto from = recorded_ends(bus_);
  if (!from) return fail(from.error());
  std::vector<std::pair<Via, std::unique_ptr<Reading>>> readings;
  for (const Via via : {Via::follower, Via::websocket, Via::log}) {
    auto check = make_check();
    if (!check) return fail(check.error());
    readings.emplace_back(
        via, std::make_unique<Reading>(via, Reading::Source{bus_, gateway_port_, *from, causes}, std::move(*check)));
    if (via != Via::log) readings.back().second->start();
  }
  const auto ends = make_events();
  if (!ends) return fail(ends.error());
  std::optional<Reading::Outcome> follower;
  for (auto& [via, reading] : readings) {
    auto outcome = reading->finish(*ends);
    if (!outcome) return fail(outcome.error());
    for (const auto& result : outcome->results) print(prefix + result.name, via, result.matched, result.expected);
    if (!follower) follower = std::move(*outcome);
    if (via == Via::follower) continue;
    std::uint64_t count = 0, same = 0;
    for (std::size_t i = 0; i < market_topics.size(); ++i) {
      count += follower->digests[i].count;
      if (outcome->digests[i] == follower->digests[i]) same += outcome->digests[i].count;
    }
    print(prefix + name + " events as the follower had them, byte for byte and in order", via, same, count);
  }
  return {};
}

Status Oracles::run_replays() {
  auto trades = bus_.publisher("trade_events", "oracle");
  if (!trades) return fail(trades.error());
  auto books = bus_.publisher("market_l2", "oracle");
  if (!books) return fail(books.error());
  market::MarketOutlet outlet(*trades, *books);
  for (const market::OracleSpec& spec : market::all_oracles()) {
    auto oracle = spec.open(data_);
    if (!oracle) return fail(oracle.error());
    const auto make_check = [&]() -> Result<std::unique_ptr<market::OracleCheck>> {
      auto again = spec.open(data_);
      if (!again) return fail(again.error());
      return std::move(again->check);
    };
    const auto publish_all = [&]() -> Result<Offsets> {
      BackOffIdle idle;
      for (;;) {
        const auto event = oracle->replay->next();
        if (!event) return fail(event.error());
        if (!*event) break;
        MILLRACE_TRY(publish(idle, [&] { return outlet.publish(**event); }));
      }
      while (!outlet.recorded()) idle.idle(0);
      return recorded_ends(bus_);
    };
    MILLRACE_TRY(read_and_check("", spec.name, std::nullopt, make_check, publish_all));
  }
  return {};
}

Status Oracles::run_matching(const std::string& instrument) {
  auto day = market::load_sse_day(data_, matching::InstrumentId(0));
  if (!day) return fail(day.error());
  const matching::InstrumentConfig config = day->instrument_config(instrument);
  auto orders = bus_.publisher("orders", "oracle");
  if (!orders) return fail(orders.error());
  market::OrderOutlet outlet(*orders, config);
  const auto begin = recorded_end(bus_, "orders");
  if (!begin) return fail(begin.error());
  const Offset first = begin->next();  // behind the command that begins the day
  const Offset after = first + day->commands().size();

  const auto make_check = [&]() -> Result<std::unique_ptr<market::OracleCheck>> {
    return market::make_sse_check(*day);
  };
  const auto publish_all = [&]() -> Result<Offsets> {
    const auto from = recorded_ends(bus_);
    if (!from) return fail(from.error());
    BackOffIdle idle;
    const auto send = [&](const matching::Command& command, WallTime time) {
      return publish(idle, [&] { return outlet.publish(command, time); });
    };
    WallTime time;
    MILLRACE_TRY(publish(idle, [&] { return outlet.begin(time); }));
    for (const auto& command : day->commands()) {
      time = command.input.time;
      MILLRACE_TRY(send(command.command, time));
    }
    // One trade more, after the day: when it has come on both topics, so has the day.
    using matching::InstrumentId, matching::NewOrder, matching::OrderId, matching::OrderKind, matching::Side;
    const OrderId seller(1ULL << 50), buyer(seller.next());
    MILLRACE_TRY(send(matching::SetPhase{InstrumentId(0), matching::Phase::continuous, config.reference}, time));
    MILLRACE_TRY(
        send(NewOrder{InstrumentId(0), seller, {}, Side::sell, OrderKind::limit, config.reference, config.lot}, time));
    MILLRACE_TRY(
        send(NewOrder{InstrumentId(0), buyer, {}, Side::buy, OrderKind::limit, config.reference, config.lot}, time));
    Offsets ends;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const auto end = first_caused_by(bus_, market_topics[i], (*from)[i], after + 2);
      if (!end) return fail(end.error());
      ends[i] = end->next();
    }
    return ends;
  };
  return read_and_check("by millrace-matching: ", "sse-600519", Reading::Causes{first, after}, make_check, publish_all);
}

int run(int argc, char** argv) {
  CLI::App app{"Real data through a running bus, held against what the venues recorded", "millrace-oracle"};
  std::string data, socket, matching;
  std::uint16_t gateway_port = 0;
  bool only_matching = false;
  app.add_option("--data", data, "Folder of the recordings")->required();
  app.add_option("--socket", socket, "The core's control socket")->required();
  app.add_option("--gateway-port", gateway_port, "Of the gateway on 127.0.0.1")->required();
  app.add_option("--matching", matching, "Instrument of a millrace-matching that reads the topic 'orders'");
  app.add_flag("--only-matching", only_matching, "Leave out the recordings that are published here");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto bus = Bus::connect({.name = "millrace-oracle", .socket = socket});
  if (!bus) {
    std::fprintf(stderr, "millrace-oracle: %s\n", bus.error().message.c_str());
    return 1;
  }
  Oracles oracles(**bus, data, gateway_port);
  Status status = only_matching ? Status() : oracles.run_replays();
  if (status && !matching.empty()) status = oracles.run_matching(matching);
  if (!status) {
    std::fprintf(stderr, "millrace-oracle: %s\n", status.error().message.c_str());
    return 1;
  }
  return oracles.all_as_expected() ? 0 : 1;
}

}  // namespace
}  // namespace millrace::oracles

int main(int argc, char** argv) {
  return millrace::oracles::run(argc, argv);
}
