// Fixed-point numbers wide enough for products of what events carry: 128 bits and the digits after the point. Every
// operation says whether its result fits; nothing wraps, nothing is rounded but by share() and units_at().
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

namespace millrace::delayed::risk {

__extension__ typedef __int128 Wide;

// Most digits after the point that an event's field may have here; 10 to this fits 64 bits.
inline constexpr std::uint8_t kScaleMax = 18;

[[nodiscard]] std::optional<Wide> add(Wide a, Wide b);
[[nodiscard]] std::optional<Wide> subtract(Wide a, Wide b);
[[nodiscard]] std::optional<Wide> multiply(Wide a, Wide b);
// `digits` more after the point.
[[nodiscard]] std::optional<Wide> shift(Wide value, unsigned digits);
// value * part / whole, cut towards zero. 0 < part <= whole; cannot overflow.
[[nodiscard]] Wide share(Wide value, std::int64_t part, std::int64_t whole);
[[nodiscard]] inline Wide magnitude(Wide value) {
  return value < 0 ? -value : value;
}

struct Amount {
  Wide units = 0;
  unsigned scale = 0;
};

[[nodiscard]] std::optional<Amount> add(const Amount& a, const Amount& b);
[[nodiscard]] std::optional<Amount> multiply(const Amount& a, const Amount& b);
[[nodiscard]] std::optional<std::strong_ordering> compare(const Amount& a, const Amount& b);

// The most digits after the point, of those that either has, with which both fit the 64 bits of an event's field.
[[nodiscard]] unsigned scale_for(const Amount& a, const Amount& b);
// As an event shows it: cut towards zero; where it does not fit, the largest there is.
[[nodiscard]] std::int64_t units_at(const Amount& amount, unsigned scale);

}  // namespace millrace::delayed::risk
