#include "schemas/decimal.hpp"

#include <array>
#include <charconv>
#include <cstring>

namespace millrace::schemas {

void append_decimal(Decimal value, std::string& out) {
  // As unsigned: the least int64 has no positive twin.
  const auto bits = static_cast<std::uint64_t>(value.mantissa);
  const std::uint64_t magnitude = value.mantissa < 0 ? 0 - bits : bits;
  std::array<char, 24> digits;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), magnitude).ptr;
  const auto count = static_cast<std::size_t>(end - digits.data());
  if (value.mantissa < 0) out += '-';
  if (value.scale == 0) {
    out.append(digits.data(), count);
  } else if (count > value.scale) {
    const std::size_t whole = count - value.scale;
    out.append(digits.data(), whole);
    out += '.';
    out.append(digits.data() + whole, value.scale);
  } else {
    out += "0.";
    out.append(value.scale - count, '0');
    out.append(digits.data(), count);
  }
}

std::optional<Decimal> parse_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  const std::size_t scale = point == std::string_view::npos ? 0 : text.size() - point - 1;
  if (text.empty() || point == 0 || (point != std::string_view::npos && scale == 0) || scale > 255) return std::nullopt;
  std::int64_t mantissa = 0;
  for (const char& c : text) {
    if (c == '.' && &c == text.data() + point) continue;
    if (c < '0' || c > '9') return std::nullopt;
    const std::int64_t digit = c - '0';
    if (__builtin_mul_overflow(mantissa, 10, &mantissa) ||
        __builtin_add_overflow(mantissa, negative ? -digit : digit, &mantissa))
      return std::nullopt;
  }
  return Decimal{mantissa, static_cast<std::uint8_t>(scale)};
}

std::optional<std::int64_t> rescale(Decimal value, std::uint8_t scale) {
  if (scale < value.scale) return std::nullopt;
  std::int64_t mantissa = value.mantissa;
  for (unsigned missing = scale - value.scale; missing > 0 && mantissa != 0; --missing)
    if (__builtin_mul_overflow(mantissa, 10, &mantissa)) return std::nullopt;
  return mantissa;
}

}  // namespace millrace::schemas
