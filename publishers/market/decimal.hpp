// Decimal text to whole units and back, exactly: no floating point on the way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bus/base/result.hpp"

namespace millrace::market {

inline constexpr unsigned kScaleMax = 18;  // 10^18 still fits 64 bits

// "-12.5" at scale 3 is -12500. invalid_argument if the text is not [-]digits[.digits], does not fit 64 bits, or has
// digits other than zero beyond the scale.
[[nodiscard]] Result<std::int64_t> parse_decimal(std::string_view text, unsigned scale);
// [-]digits and nothing else.
[[nodiscard]] Result<std::int64_t> parse_integer(std::string_view text);
// How many digits stand behind the point.
[[nodiscard]] unsigned decimals_of(std::string_view text);

// -12500 at scale 3 is "-12.500".
[[nodiscard]] std::string format_decimal(std::int64_t units, unsigned scale);
// As above without zeros at the end: "-12.5".
[[nodiscard]] std::string format_decimal_short(std::int64_t units, unsigned scale);

}  // namespace millrace::market
