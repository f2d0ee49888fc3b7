// A snapshot of the risk engine as bytes.
//
//   offset  size     field
//        0     4     magic     "MRRS"
//        4     4     version   1
//        8     8     size      of the whole file
//       16  3 x 24   inputs    log_id (16) and run (8) of trade_events, market_l2 and account_events
//       88     8     alerts    sequence of the last alert that is in the state
//       96     n     state     as Memory::save has it; the offsets of the inputs are in it
//   96 + n     8     checksum  XXH3 of everything before it
//
// Everything is little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "bus/base/result.hpp"
#include "subscribers/delayed/risk/alert.hpp"
#include "subscribers/delayed/risk/input_health.hpp"
#include "subscribers/delayed/risk/state.hpp"

namespace millrace::delayed::risk {

// All that the engine remembers: a function of the three inputs up to their offsets and of its own alerts.
struct Memory {
  State state;
  Standing standing;
  Sequence alerts;  // the last one said

  [[nodiscard]] std::vector<std::byte> save() const;
  [[nodiscard]] static Result<Memory> restore(std::span<const std::byte> bytes);
};

struct Snapshot {
  struct Log {
    LogId id;
    Run run;
  };
  std::array<Log, kInputs> logs;
  Memory memory;
};

[[nodiscard]] std::vector<std::byte> encode(const std::array<Snapshot::Log, kInputs>& logs, const Memory& memory);
// Errors: corrupt, unsupported (another version).
[[nodiscard]] Result<Snapshot> decode(std::span<const std::byte> bytes);

}  // namespace millrace::delayed::risk
