// The checksum that a market_l2 event carries over its levels.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

#include "schemas/market_l2_generated.h"

namespace millrace::schemas {

// Low 32 bits of XXH3-64 over the bytes of both sides as they lie in the event.
[[nodiscard]] inline std::uint32_t levels_checksum(const Levels& bids, const Levels& asks) {
  std::uint8_t both[2 * sizeof(Levels)];
  std::memcpy(both, &bids, sizeof bids);
  std::memcpy(both + sizeof bids, &asks, sizeof asks);
  return static_cast<std::uint32_t>(XXH3_64bits(both, sizeof both));
}

}  // namespace millrace::schemas
