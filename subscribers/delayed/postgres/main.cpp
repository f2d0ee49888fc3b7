// millrace-postgres-sink: brings batches of events into PostgreSQL, each event once.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "bus/base/idle.hpp"
#include "bus/base/log.hpp"
#include "bus/bus.hpp"
#include "subscribers/delayed/postgres/command_line.hpp"
#include "subscribers/delayed/postgres/migrations.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;

volatile std::sig_atomic_t g_told_to_end = 0;

void end_on_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

std::string holder() {
  char host[256] = {};
  (void)::gethostname(host, sizeof host - 1);
  return std::string(host) + ":" + std::to_string(::getpid());
}

// Waits for nothing.
Status migrate_only(const SinkOptions& options) {
  auto session = open_session(options);
  if (!session) return fail(explain(session.error(), "connecting to the database"));
  const auto migrated = migrate(*session, embedded_migrations());
  if (!migrated) return fail(migrated.error());
  log().info("applied {} migrations", *migrated);
  return {};
}

Status run(CommandLine line) {
  if (line.migrate_only) return migrate_only(line.sink);
  auto bus = Bus::connect({.name = "millrace-postgres-sink", .socket = line.socket});
  if (!bus) return fail(bus.error());
  line.sink.holder = holder();
  auto sink = Sink::open(**bus, std::move(line.sink));
  if (!sink) return fail(sink.error());
  BackOffIdle idle({.spins = 0, .yields = 1, .min_sleep = 100us, .max_sleep = 5ms});
  while (g_told_to_end == 0) {
    const std::uint64_t work = (*sink)->do_work(system_clock().monotonic());
    if ((*sink)->error()) break;
    idle.idle(work);
  }
  (*sink)->stop();
  if ((*sink)->error()) return fail(*(*sink)->error());
  return {};
}

}  // namespace
}  // namespace millrace::delayed::postgres

int main(int count, char** arguments) {
  using namespace millrace;
  auto parsed = delayed::postgres::parse_command_line(count, arguments);
  if (const int* const exit_code = std::get_if<int>(&parsed)) return *exit_code;
  auto& line = std::get<delayed::postgres::CommandLine>(parsed);
  delayed::postgres::end_on_signals();
  open_log("millrace-postgres-sink", line.log_level);
  const auto status = delayed::postgres::run(std::move(line));
  if (!status) std::fprintf(stderr, "millrace-postgres-sink: %s\n", status.error().message.c_str());
  close_log();
  return status ? 0 : 1;
}
