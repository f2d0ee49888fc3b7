// A snapshot of the matching engine as bytes: what it had read, what it had made, and its whole state.
//
//   offset  size  field
//        0    16  envelope  wal/snapshot_envelope.hpp: magic "MRSN", version 1, size
//       16    16  log_id    of the topic `orders`
//       32     8  run       of that log
//       40     8  offset    of the next order
//       48  3 x 8  outputs  sequence of the last event in trade_events, order_events and market_l2
//       72     n  state     as Venue::save has it
//   72 + n     8  checksum  the envelope's
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"

namespace millrace::matching {

// The engine's output topics, in this order wherever they are counted.
enum class OutputTopic : std::size_t { trades, orders, depth };
inline constexpr std::size_t kOutputTopics = 3;
inline constexpr std::array<const char*, kOutputTopics> kOutputTopicNames{"trade_events", "order_events", "market_l2"};
// A sequence of the engine's publisher in each of them.
using OutputSequences = std::array<Sequence, kOutputTopics>;

struct Snapshot {
  Position input;           // the next order
  OutputSequences outputs;  // the last events that the orders before it led to
  std::vector<std::byte> state;
};

[[nodiscard]] std::vector<std::byte> encode(const Snapshot& snapshot);
// Errors: corrupt, unsupported (another version).
[[nodiscard]] Result<Snapshot> decode(std::span<const std::byte> bytes);

}  // namespace millrace::matching
