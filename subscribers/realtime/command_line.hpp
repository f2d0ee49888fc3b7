// What millrace-gateway's main is made of: its command line, and serving until a signal comes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "bus/base/result.hpp"
#include "subscribers/realtime/event_source.hpp"
#include "subscribers/realtime/options.hpp"

namespace millrace::gateway {

struct CommandLine {
  std::string socket;  // of the core's control socket; empty: the bus' default
  std::string log_level = "info";
  GatewayOptions options;
};

// The exit code instead, when help was asked for or something was wrong: what there is to say has been printed.
[[nodiscard]] std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments);

// "127.0.0.1:8080", "[::1]:8080": address and port.
[[nodiscard]] Result<std::pair<std::string, std::uint16_t>> parse_listen(std::string_view text);

// SIGTERM and SIGINT wait for serve_until_signal(). First of all in main: the threads that it starts inherit this.
void block_ending_signals();
// Serves until one of them; the exit code.
[[nodiscard]] int serve_until_signal(EventSource& source, const GatewayOptions& options);

}  // namespace millrace::gateway
