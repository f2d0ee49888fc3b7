// What millrace-matching is told on its command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bus/base/result.hpp"
#include "bus/event.hpp"
#include "bus/start.hpp"
#include "publishers/matching/instrument.hpp"
#include "publishers/matching/snapshots.hpp"

namespace millrace::matching {

enum class InputKind { generator, orders, both };

struct CommandLine {
  InputKind input = InputKind::both;
  std::vector<InstrumentConfig> instruments;
  double rate = 2000;  // orders a second
  std::uint64_t seed = 1;
  Level level = Level::recorded;
  Start start = StartLatest{};
  std::string socket;  // empty: the usual place
  std::string name = "matching";
  std::string idle = "back_off";
  std::optional<unsigned> cpu;
  std::string log_level = "info";
  std::string snapshots;  // folder; empty: the books are not kept
  SnapshotPolicy snapshot_policy;
};

// "NAME:price_scale:quantity_scale:tick:lot:reference", the last three as decimals, as in "MILL:2:0:0.01:1:125.00".
// Errors: invalid_argument naming the part.
[[nodiscard]] Result<InstrumentConfig> parse_instrument(std::string_view text);

// What to run, or the exit code when there is nothing to run: 0 after --help, 2 after a mistake that was named on
// standard error.
[[nodiscard]] std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments);

}  // namespace millrace::matching
