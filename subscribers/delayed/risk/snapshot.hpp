// A snapshot of the risk engine as bytes.
//
//   offset  size     field
//        0    16  envelope  wal/snapshot_envelope.hpp: magic "MRRS", version 1, size
//       16  3x24  inputs    log_id (16) and run (8) of trade_events, market_l2 and account_events
//       88     n  state     as Memory::save has it; the offsets of the inputs are in it
//   88 + n     8  checksum  the envelope's
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

// What is in the envelope, and the whole with it.
[[nodiscard]] std::vector<std::byte> contents_of(const std::array<Snapshot::Log, kInputs>& logs, const Memory& memory);
[[nodiscard]] std::vector<std::byte> enclose(std::span<const std::byte> contents);
// Errors: corrupt, unsupported (another version).
[[nodiscard]] Result<Snapshot> decode(std::span<const std::byte> bytes);

}  // namespace millrace::delayed::risk
