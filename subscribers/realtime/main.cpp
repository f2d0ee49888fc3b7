// millrace-gateway: the bus over WebSocket and HTTP. Started by the core, or by hand.
#include <cstdio>

#include "bus/base/log.hpp"
#include "subscribers/realtime/bus_source.hpp"
#include "subscribers/realtime/command_line.hpp"
#include "subscribers/realtime/gateway.hpp"

int main(int count, char** arguments) {
  using namespace millrace;
  gateway::block_ending_signals();
  const auto parsed = gateway::parse_command_line(count, arguments);
  if (const int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const auto& line = std::get<gateway::CommandLine>(parsed);
  open_log("millrace-gateway", line.log_level);
  gateway::raise_descriptor_limit();
  int status = 1;
  const auto bus =
      Bus::connect({.name = "millrace-gateway", .socket = line.socket, .timeout = std::chrono::seconds(5)});
  if (!bus) {
    std::fprintf(stderr, "millrace-gateway: %s\n", bus.error().message.c_str());
  } else if (const auto source = gateway::BusSource::open(**bus); !source) {
    std::fprintf(stderr, "millrace-gateway: %s\n", source.error().message.c_str());
  } else {
    status = gateway::serve_until_signal(**source, line.options);
  }
  close_log();
  return status;
}
