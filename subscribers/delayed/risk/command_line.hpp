// What millrace-risk is told at its start.
#pragma once

#include <chrono>
#include <string>
#include <variant>

#include "subscribers/delayed/batcher.hpp"
#include "subscribers/delayed/risk/engine.hpp"

namespace millrace::delayed::risk {

struct CommandLine {
  std::string limits;     // a TOML file
  std::string snapshots;  // a folder; empty: none are kept
  std::string socket;     // empty: the usual one
  std::string name = "risk";
  std::string idle = "back_off";
  std::string log_level = "info";
  bool check = false;  // the limits only
  BatchLimits batches;
  SnapshotPolicy snapshot_policy;
};

// What to do, or the exit status: help was asked for (0), or something is wrong and was said (2).
[[nodiscard]] std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments);

}  // namespace millrace::delayed::risk
