#include "publishers/matching/command_line.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <chrono>
#include <map>
#include <set>

#include "publishers/matching/order_flow.hpp"
#include "publishers/matching/translate.hpp"

namespace millrace::matching {
namespace {

constexpr const char* kAbout =
    "A matching engine on the bus: takes orders, publishes trades (trade_events), what becomes of orders\n"
    "(order_events) and the ten best levels (market_l2).\n\n"
    "  generator  a seeded order flow, matched directly; needs no topic 'orders'\n"
    "  orders     what others publish on the topic 'orders'\n"
    "  both       the order flow is published on 'orders' by 'order-flow', and all of 'orders' is matched, so\n"
    "             that others can trade against it\n\n"
    "Without --snapshots the books are not kept: a process that starts again begins with empty ones, and with the\n"
    "orders that come from then on. --from earliest builds the books again from every order in the log, and\n"
    "publishes once more, under new trade ids, what follows from them.\n\n"
    "With --snapshots a process that starts again, under the same name, goes on where the last one ended, however\n"
    "that was: from a snapshot and the orders behind it, publishing only what is not in the log. Its orders are all\n"
    "of the topic's from the very first, taken once they are synced.\n\n"
    "SIGTERM and SIGINT end it once what it has is published.";

constexpr const char* kInstrumentForm =
    "NAME:PRICE_SCALE:QUANTITY_SCALE:TICK:LOT:REFERENCE, as in MILL:2:0:0.01:1:125.00; scales are digits after the "
    "point";

std::optional<std::uint8_t> parse_scale(std::string_view text) {
  std::uint8_t scale = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), scale);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return scale;
}

std::optional<std::int64_t> parse_units(std::string_view text, std::uint8_t scale) {
  const auto decimal = schemas::parse_decimal(text);
  return decimal ? exactly(*decimal, scale) : std::nullopt;
}

tl::unexpected<Error> bad_instrument(std::string_view text, const std::string& why) {
  return fail(ErrorCode::invalid_argument,
              "instrument '" + std::string(text) + "': " + why + "; give " + kInstrumentForm);
}

std::string check_instruments(const CommandLine& line) {
  std::set<std::string> names;
  for (const auto& config : line.instruments) {
    if (!names.insert(config.name).second) return "--instrument: '" + config.name + "' is there twice";
    if (line.input != InputKind::orders && config.reference == Price{0}) {
      return "--instrument: '" + config.name + "' needs a reference price for the generator to begin at";
    }
  }
  return {};
}

std::string check_snapshots(const CommandLine& line, bool recorded) {
  if (line.snapshots.empty()) return {};
  if (line.input == InputKind::generator) {
    return "--snapshots: only orders that are in a log can be read again; give --input orders or both";
  }
  if (recorded) return "--snapshots: orders must be synced before they are matched; leave out --level recorded";
  return {};
}

}  // namespace

Result<InstrumentConfig> parse_instrument(std::string_view text) {
  std::array<std::string_view, 6> parts;
  std::string_view rest = text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto colon = rest.find(':');
    const bool last = i + 1 == parts.size();
    if ((colon == std::string_view::npos) != last) return bad_instrument(text, "six parts are wanted");
    parts[i] = rest.substr(0, colon);
    if (!last) rest.remove_prefix(colon + 1);
  }
  InstrumentConfig config;
  config.name = parts[0];
  const auto price_scale = parse_scale(parts[1]);
  const auto quantity_scale = parse_scale(parts[2]);
  if (!price_scale || !quantity_scale) return bad_instrument(text, "a scale is not a small whole number");
  config.price_scale = *price_scale;
  config.quantity_scale = *quantity_scale;
  const auto tick = parse_units(parts[3], *price_scale);
  const auto lot = parse_units(parts[4], *quantity_scale);
  const auto reference = parse_units(parts[5], *price_scale);
  if (!tick) return bad_instrument(text, "the tick is no number of that scale");
  if (!lot) return bad_instrument(text, "the lot is no number of that scale");
  if (!reference) return bad_instrument(text, "the reference price is no number of that scale");
  config.tick = config.price_min = Price{*tick};
  config.lot = Quantity{*lot};
  config.reference = Price{*reference};
  if (const auto sound = validate(config); !sound) return bad_instrument(text, sound.error().message);
  return config;
}

std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments) {
  CommandLine line;
  std::vector<std::string> instruments;
  unsigned cpu = 0;
  const std::map<std::string, InputKind> inputs{
      {"generator", InputKind::generator}, {"orders", InputKind::orders}, {"both", InputKind::both}};
  std::string input = "both";
  std::string level = "recorded";
  std::string from = "latest";

  CLI::App app(kAbout, "millrace-matching");
  app.add_option("--input", input, "generator, orders or both")
      ->capture_default_str()
      ->check(CLI::IsMember({"generator", "orders", "both"}).description(""));
  app.add_option("--instrument", instruments,
                 std::string("Repeatable; ") + kInstrumentForm + " (default: MILL, RACE, FLUX and WEIR)")
      ->option_text("TEXT")
      ->take_all();
  app.add_option("--rate", line.rate, "Generated orders a second, over all instruments")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 100e6));
  app.add_option("--seed", line.seed, "Of the generator: the same seed gives the same orders")->capture_default_str();
  auto* const level_option =
      app.add_option("--level", level, "Take orders when they are recorded, or only when they are synced to the disk")
          ->capture_default_str()
          ->check(CLI::IsMember({"recorded", "synced"}).description(""));
  auto* const from_option = app.add_option("--from", from, "Where to begin in the topic 'orders': latest or earliest")
                                ->capture_default_str()
                                ->check(CLI::IsMember({"latest", "earliest"}).description(""));
  app.add_option("--socket", line.socket, "The core's control socket (default: $MILLRACE_SOCKET, or the usual place)");
  app.add_option("--name", line.name, "Of the publisher in its three topics")->capture_default_str();
  app.add_option("--idle", line.idle, "What to do when there is nothing to do: spin, yield or back_off")
      ->capture_default_str()
      ->check(CLI::IsMember({"spin", "yield", "back_off"}).description(""));
  auto* const cpu_option = app.add_option("--cpu", cpu, "Run on this core alone");
  app.add_option("--log-level", line.log_level, "trace, debug, info, warn, error or off")
      ->capture_default_str()
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}).description(""));
  auto* const snapshots_option = app.add_option(
      "--snapshots", line.snapshots, "Keep the books: the folder for this engine's snapshots, and no other's");
  auto seconds = std::chrono::duration<double>(line.snapshot_policy.every).count();
  app.add_option("--snapshot-orders", line.snapshot_policy.every_orders, "A snapshot after so many orders")
      ->capture_default_str()
      ->check(CLI::PositiveNumber)
      ->needs(snapshots_option);
  app.add_option("--snapshot-seconds", seconds, "A snapshot after so long, if there was an order")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 1e9))
      ->needs(snapshots_option);
  snapshots_option->excludes(from_option);
  try {
    app.parse(count, arguments);
    line.input = inputs.at(input);
    if (const auto wrong = check_snapshots(line, level_option->count() > 0 && level == "recorded"); !wrong.empty()) {
      throw CLI::ValidationError(wrong);
    }
    for (const auto& text : instruments) {
      auto config = parse_instrument(text);
      if (!config) throw CLI::ValidationError("--instrument", config.error().message);
      line.instruments.push_back(std::move(*config));
    }
    if (const auto wrong = check_instruments(line); !wrong.empty()) throw CLI::ValidationError(wrong);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (line.instruments.empty()) line.instruments = demo_instruments();
  line.snapshot_policy.every =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
  if (level == "synced" || !line.snapshots.empty()) line.level = Level::synced;
  if (from == "earliest") line.start = StartEarliest{};
  if (cpu_option->count() > 0) line.cpu = cpu;
  return line;
}

}  // namespace millrace::matching
