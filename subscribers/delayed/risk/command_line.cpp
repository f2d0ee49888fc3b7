#include "subscribers/delayed/risk/command_line.hpp"

#include <CLI/CLI.hpp>

namespace millrace::delayed::risk {
namespace {

constexpr const char* kAbout =
    "A risk engine on the bus: follows trade_events, market_l2 and account_events, holds every account against its\n"
    "limits, and says on risk_alerts what is breached and what is within its limit again. While an input is stale\n"
    "it says so, and judges nothing.\n\n"
    "A process that starts again under the same name goes on where the last one ended, saying nothing twice: from a\n"
    "snapshot if --snapshots is given, else from the first trade in the log.\n\n"
    "SIGTERM and SIGINT end it.";

}  // namespace

std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments) {
  CommandLine line;
  auto batch_ms = std::chrono::duration<double, std::milli>(line.batches.age).count();
  auto seconds = std::chrono::duration<double>(line.snapshot_policy.every).count();
  CLI::App app(kAbout, "millrace-risk");
  app.add_option("--limits", line.limits, "The TOML file that says what accounts are allowed")->required();
  app.add_flag("--check", line.check, "Only read the limits, and say what is wrong with them");
  app.add_option("--snapshots", line.snapshots, "The folder for this engine's snapshots, and no other's");
  app.add_option("--snapshot-events", line.snapshot_policy.every_events, "A snapshot after so many events")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--snapshot-seconds", seconds, "A snapshot after so long, if there was an event")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 1e9));
  app.add_option("--batch-ms", batch_ms, "How old a batch of events may become before it is taken")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 60'000.0));
  app.add_option("--socket", line.socket, "The core's control socket (default: $MILLRACE_SOCKET, or the usual place)");
  app.add_option("--name", line.name, "Of the publisher on risk_alerts")->capture_default_str();
  app.add_option("--idle", line.idle, "What to do when there is nothing to do: spin, yield or back_off")
      ->capture_default_str()
      ->check(CLI::IsMember({"spin", "yield", "back_off"}).description(""));
  app.add_option("--log-level", line.log_level, "trace, debug, info, warn, error or off")
      ->capture_default_str()
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}).description(""));
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  line.batches.age =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double, std::milli>(batch_ms));
  line.snapshot_policy.every =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
  return line;
}

}  // namespace millrace::delayed::risk
