// Fixed-point numbers as text: a mantissa and the digits after the point, both kept exactly ("1808.080" is 1808080 and
// 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::schemas {

struct Decimal {
  std::int64_t mantissa = 0;
  std::uint8_t scale = 0;
};

void append_decimal(Decimal value, std::string& out);

// Nothing but an optional '-', digits and at most one '.' followed by digits; nullopt otherwise, or if it does not fit.
[[nodiscard]] std::optional<Decimal> parse_decimal(std::string_view text);

// The mantissa at another scale; nullopt if that would lose digits or not fit.
[[nodiscard]] std::optional<std::int64_t> rescale(Decimal value, std::uint8_t scale);

}  // namespace millrace::schemas
