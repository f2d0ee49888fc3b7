// millrace-risk: a risk engine on the bus. One thread reads, judges and publishes.
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "bus/base/log.hpp"
#include "bus/bus.hpp"
#include "subscribers/delayed/risk/command_line.hpp"
#include "subscribers/delayed/risk/engine.hpp"
#include "subscribers/delayed/risk/recovery.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::delayed::risk {
namespace {

volatile std::sig_atomic_t g_told_to_end = 0;

void end_on_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
}

// Until a signal, or an error.
Status run(Engine& engine, const std::string& idle_name) {
  auto idle = make_idle_strategy(idle_name);
  if (!idle) return fail(idle.error());
  bool coming_back = true;
  while (g_told_to_end == 0) {
    const auto work = engine.do_work(system_clock().monotonic());
    if (engine.error()) return fail(*engine.error());
    if (coming_back && !engine.coming_back()) {
      coming_back = false;
      log().info("judges from trade {} on", engine.memory().state.trades_read.end.value());
    }
    (*idle)->idle(work);
  }
  return {};
}

Status connect_and_run(const CommandLine& line, const Limits& limits) {
  auto bus = Bus::connect({.name = "millrace-risk", .socket = line.socket});
  if (!bus) return fail(bus.error());
  auto alerts = (*bus)->publisher("risk_alerts", line.name);
  if (!alerts) return fail(alerts.error());
  const Sequence recorded(alerts->next_sequence().value() - 1);

  std::optional<wal::SnapshotFolder> folder;
  std::optional<Snapshot> snapshot;
  if (!line.snapshots.empty()) {
    auto opened = wal::SnapshotFolder::open(wal::posix_file_system(), line.snapshots);
    if (!opened) return fail(opened.error());
    folder.emplace(std::move(*opened));
    auto found = newest(*folder, recorded);
    if (!found) return fail(found.error());
    snapshot = std::move(*found);
  }

  // Followed before the status is asked for, so that no change falls between the two.
  bool health_missed = false;
  auto health =
      (*bus)->subscribe("system.health", {.level = Level::live, .on_gap = [&](const Gap&) { health_missed = true; }});
  if (!health) return fail(health.error());
  InputHealth input_health(limits.max_lag);
  const auto status = (*bus)->status();
  if (!status) return fail(status.error());
  input_health.apply(*status);

  auto trades = subscribe_input(**bus, Input::trades, snapshot);
  if (!trades) return fail(trades.error());
  auto books = subscribe_input(**bus, Input::books, snapshot);
  if (!books) return fail(books.error());
  auto accounts = subscribe_input(**bus, Input::accounts, snapshot);
  if (!accounts) return fail(accounts.error());
  auto said = (*bus)->subscribe("risk_alerts", {.level = Level::synced, .start = StartEarliest{}});
  if (!said) return fail(said.error());
  Memory memory;
  if (snapshot) memory = std::move(snapshot->memory);
  auto last = take_alerts(*said, *alerts, recorded, memory);
  if (!last) return fail(last.error());
  MILLRACE_TRY(check_reach(Input::trades, *trades, *last));
  MILLRACE_TRY(check_reach(Input::books, *books, *last));
  MILLRACE_TRY(check_reach(Input::accounts, *accounts, *last));
  log().info("goes on behind alert {}{}", recorded.value(), snapshot ? ", with its snapshot" : "");

  Engine engine({.inputs = {std::move(*trades), std::move(*books), std::move(*accounts)},
                 .health = &*health,
                 .health_missed = &health_missed,
                 .status = [&bus] { return (*bus)->status(); },
                 .alerts = &*alerts,
                 .memory = std::move(memory),
                 .last = std::move(*last),
                 .input_health = std::move(input_health),
                 .snapshots = folder ? &*folder : nullptr},
                limits, line.batches, line.snapshot_policy);
  return run(engine, line.idle);
}

}  // namespace
}  // namespace millrace::delayed::risk

int main(int count, char** arguments) {
  using namespace millrace;
  using namespace millrace::delayed;
  const auto parsed = risk::parse_command_line(count, arguments);
  if (const int* const exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const auto& line = std::get<risk::CommandLine>(parsed);
  const auto limits = risk::load_limits(line.limits);
  if (!limits) {
    std::fprintf(stderr, "millrace-risk: %s\n", limits.error().message.c_str());
    return 2;
  }
  if (line.check) return 0;
  risk::end_on_signals();
  open_log("millrace-risk", line.log_level);
  const auto status = risk::connect_and_run(line, *limits);
  if (!status) std::fprintf(stderr, "millrace-risk: %s\n", status.error().message.c_str());
  close_log();
  return status ? 0 : 1;
}
