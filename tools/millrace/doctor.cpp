#include "tools/millrace/doctor.hpp"

#include <algorithm>
#include <cstdio>

#include "bus/bus.hpp"

namespace millrace::cli {
namespace {

constexpr std::chrono::nanoseconds answer_in = std::chrono::seconds(2);

}  // namespace

std::string to_line(const Finding& finding) {
  constexpr const char* verdicts[] = {"ok", "warn", "fail"};
  char line[512];
  std::snprintf(line, sizeof line, "%-4s  %-14s  %s\n", verdicts[static_cast<int>(finding.verdict)],
                finding.what.c_str(), finding.why.c_str());
  return line;
}

Exit doctor(const DoctorOptions& options, Output& out) {
  const auto config =
      options.config.empty() ? Result<daemon::Config>(daemon::default_config()) : daemon::load_config(options.config);
  if (!config) return complain(config.error());
  const std::string socket = !options.socket.empty()   ? options.socket
                             : !options.config.empty() ? config->socket_path()
                                                       : default_socket_path();
  const bool core_runs = Bus::connect({.name = "doctor", .socket = socket, .timeout = answer_in}).has_value();
  bool failed = false;
  for (const auto& findings : {examine_places(*config, socket, core_runs), examine_host()}) {
    for (const Finding& finding : findings) {
      out.text() += to_line(finding);
      failed = failed || finding.verdict == Finding::Verdict::fail;
    }
  }
  return out.finish(failed ? Exit::failed : Exit::ok);
}

}  // namespace millrace::cli
