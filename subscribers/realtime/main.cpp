// millrace-gateway: the bus over WebSocket and HTTP. Started by the core, or by hand.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bus/base/log.hpp"
#include "subscribers/realtime/bus_source.hpp"
#include "subscribers/realtime/command_line.hpp"
#include "subscribers/realtime/gateway.hpp"

namespace {

// A gateway that the core started ends with it, however and whenever it ends: the next core starts one of its own,
// which wants the same port. One started by hand stays, and serves the log until there is a core again. False if that
// core is dead already.
bool end_with_the_core() {
  const char* const core = std::getenv("MILLRACE_STARTED_BY");  // set by bus/daemon/gateway_process.cpp
  if (core == nullptr) return true;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  return std::to_string(::getppid()) == core;
}

}  // namespace

int main(int count, char** arguments) {
  using namespace millrace;
  gateway::block_ending_signals();
  if (!end_with_the_core()) return 0;
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
