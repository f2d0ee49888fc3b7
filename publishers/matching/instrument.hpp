// How an instrument is traded, and the limits that keep all sums within 64 bits.
#pragma once

#include <cstdint>
#include <string>

#include "bus/base/result.hpp"
#include "publishers/matching/order.hpp"

namespace millrace::matching {

// A price stays exact in a double, which is all that some screens have.
inline constexpr Price kPriceMax{(std::int64_t{1} << 53) - 1};
inline constexpr Quantity kQuantityMax{std::int64_t{1} << 40};
// Resting orders of one instrument.
inline constexpr std::uint32_t kOrdersMax = 1U << 22;
// The sum of all orders of a side, taken in an auction, must not overflow.
static_assert(kQuantityMax.units <= INT64_MAX / kOrdersMax);

inline constexpr std::size_t kInstrumentNameBytesMax = 16;

// What happens when an arriving order meets a resting one of its own account. Auctions make no such difference:
// cancelling in the uncross would change the price that all others were promised.
enum class SelfTrade : std::uint8_t {
  cancel_newest,  // the arriving order ends
  cancel_oldest,  // the resting order ends, the arriving one goes on
  cancel_both,
  allow,
};

struct InstrumentConfig {
  std::string name;  // 1 to 16 bytes
  std::uint8_t price_scale = 2;
  std::uint8_t quantity_scale = 0;
  Price tick{1};
  Quantity lot{1};
  Price reference;              // previous close, on the tick; 0: none, tied prices of an uncross then go to the lowest
  Price price_min{1};           // band, inclusive
  Price price_max = kPriceMax;  // band, inclusive
  Quantity quantity_max = kQuantityMax;
  SelfTrade self_trade = SelfTrade::cancel_newest;
  Phase phase = Phase::continuous;           // at the start
  std::uint32_t orders_expected = 1U << 14;  // memory for so many is taken at the start
  std::uint32_t orders_max = 1U << 20;       // more resting orders are rejected
};

// invalid_argument naming the instrument and the field.
[[nodiscard]] Status validate(const InstrumentConfig& config);

}  // namespace millrace::matching
