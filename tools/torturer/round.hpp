// One round of a torture run: a core with its gateway, publishers, subscribers and WebSocket clients in a folder of
// their own; a quiet phase; the scheduled kills and stops; an orderly end; and what all of them wrote down, judged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "tools/torturer/judge.hpp"
#include "tools/torturer/schedule.hpp"
#include "tools/torturer/stalls.hpp"

namespace millrace::torture {

struct RoundOptions {
  std::string programs;  // the folder of millraced, millrace-gateway and this program
  std::string folder;    // made, and left as it is at the end
  std::vector<Action> schedule;
  Crew crew;
  std::uint64_t rate = 0;  // of each publisher, events a second; 0: no limit
};

struct RoundResult {
  std::uint64_t kills = 0;
  std::uint64_t stops = 0;
  Verdict verdict;
  StallReport stalls;
  std::string usage;  // early and late, as text
};

// Errors: a process that ended though nobody killed it, one that hangs, what grew. Each names the file that has more.
[[nodiscard]] Result<RoundResult> run_round(const RoundOptions& options);

}  // namespace millrace::torture
