#include "subscribers/realtime/command_line.hpp"

#include <malloc.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "bus/base/log.hpp"
#include "subscribers/realtime/gateway.hpp"

namespace millrace::gateway {

namespace {
constexpr std::int64_t ns_per_ms = 1'000'000;

sigset_t ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  return set;
}

// Messages and blocks of events come and go by the megabyte. If they went back to the kernel each time, a read of the
// log would spend more on page faults than on the events.
void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 16 << 20);
}
}  // namespace

Result<std::pair<std::string, std::uint16_t>> parse_listen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    std::string_view address = text.substr(0, colon);
    const std::string_view digits = text.substr(colon + 1);
    const bool bracketed = address.starts_with('[') && address.ends_with(']');
    if (bracketed) address = address.substr(1, address.size() - 2);
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool whole = error == std::errc{} && end == digits.data() + digits.size();
    if (whole && !address.empty() && (bracketed || address.find(':') == std::string_view::npos)) {
      return std::pair{std::string(address), port};
    }
  }
  return fail(ErrorCode::invalid_argument,
              "'" + std::string(text) + "' is not ADDRESS:PORT, as in 127.0.0.1:8080 or [::1]:8080");
}

std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments) {
  CommandLine line;
  GatewayOptions& options = line.options;
  std::string listen = options.address + ":" + std::to_string(options.port);
  std::int64_t heartbeat_ms = options.heartbeat.count() / ns_per_ms;
  std::int64_t client_timeout_ms = 0;
  std::int64_t write_timeout_ms = options.write_timeout.count() / ns_per_ms;

  CLI::App app("Serves a millrace bus to WebSocket and HTTP clients, and its page at /.", "millrace-gateway");
  app.set_config("--config", "", "Read options from this file: lines of name = value, named as below without dashes");
  app.allow_config_extras(false);
  app.add_option("--socket", line.socket, "The core's control socket (default: $MILLRACE_SOCKET, or the usual place)");
  app.add_option("--listen", listen, "ADDRESS:PORT to listen on; port 0 takes any free one")
      ->capture_default_str()
      ->check([](const std::string& text) {
        const auto parsed = parse_listen(text);
        return parsed ? std::string() : parsed.error().message;
      });
  app.add_option("--sessions-max", options.sessions_max, "WebSocket sessions at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--subscriptions-max", options.subscriptions_max, "Subscriptions of a session")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--cache-bytes", options.cache_bytes, "Memory for each topic's latest events")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1} << 16, std::size_t{1} << 32));
  app.add_option("--heartbeat-ms", heartbeat_ms, "A quiet subscription says that it lives")
      ->capture_default_str()
      ->check(CLI::Range(1, 3'600'000));
  app.add_option("--client-timeout-ms", client_timeout_ms,
                 "What clients are told: without a message for as long, the connection is dead (0: three heartbeats)")
      ->capture_default_str()
      ->check(CLI::Range(0, 3'600'000));
  app.add_option("--queue", options.queue,
                 "Offsets that a subscription which conflates or disconnects may be behind, if it does not say")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  app.add_option("--queue-max", options.queue_max, "The most that a subscription may say")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  app.add_option("--write-timeout-ms", write_timeout_ms,
                 "A client that does not take a message in this time is cut off")
      ->capture_default_str()
      ->check(CLI::Range(1, 3'600'000));
  app.add_option("--replay-threads", options.replay_threads, "Threads that read the log for clients behind the cache")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--log-level", line.log_level, "trace, debug, info, warn, error or off")
      ->capture_default_str()
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (client_timeout_ms != 0 && client_timeout_ms <= heartbeat_ms) {
    std::fprintf(stderr, "--client-timeout-ms: clients would give up a quiet connection before its heartbeat\n");
    return 1;
  }
  if (options.queue > options.queue_max) {
    std::fprintf(stderr, "--queue: more than --queue-max\n");
    return 1;
  }
  options.client_timeout = std::chrono::milliseconds(client_timeout_ms);
  std::tie(options.address, options.port) = *parse_listen(listen);
  options.heartbeat = std::chrono::milliseconds(heartbeat_ms);
  options.write_timeout = std::chrono::milliseconds(write_timeout_ms);
  return line;
}

void block_ending_signals() {
  const sigset_t ending = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
}

int serve_until_signal(EventSource& source, const GatewayOptions& options) {
  raise_descriptor_limit();
  keep_freed_memory();
  Gateway gateway(source, options);
  if (const Status started = gateway.start(); !started) {
    log().error("{}", started.error().message);
    return 1;
  }
  log().info("listening on {}:{}", options.address, gateway.port());
  const sigset_t ending = ending_signals();
  int signal = 0;
  ::sigwait(&ending, &signal);
  log().info("ending after signal {}", signal);
  gateway.stop();
  return 0;
}

}  // namespace millrace::gateway
