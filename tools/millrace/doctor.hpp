// millrace doctor: what of this host could keep a core from starting, or make it slow.
#pragma once

#include <string>
#include <vector>

#include "bus/daemon/config.hpp"
#include "tools/millrace/exit.hpp"
#include "tools/millrace/output.hpp"

namespace millrace::cli {

struct Finding {
  enum class Verdict { ok, warn, fail };
  Verdict verdict;
  std::string what;
  std::string why;  // and what to do about it
};
[[nodiscard]] std::string to_line(const Finding& finding);

struct DoctorOptions {
  std::string config;  // of millraced; empty: the defaults
  std::string socket;  // empty: the configuration's
};
// Exit::failed if any finding is a fail.
[[nodiscard]] Exit doctor(const DoctorOptions& options, Output& out);

// What the core left or will leave on this host: /dev/shm, folders, socket, manifest, locks. `core_runs`: it answers.
[[nodiscard]] std::vector<Finding> examine_places(const daemon::Config& config, const std::string& socket,
                                                  bool core_runs);
// Limits, kernel and processors.
[[nodiscard]] std::vector<Finding> examine_host();

}  // namespace millrace::cli
