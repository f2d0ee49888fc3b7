#include "publishers/market/decimal.hpp"

#include <charconv>

#include "bus/base/assert.hpp"

namespace millrace::market {
namespace {

tl::unexpected<Error> malformed(std::string_view text, std::string_view why) {
  constexpr std::size_t shown_max = 40;
  return fail(ErrorCode::invalid_argument, "'" + std::string(text.substr(0, shown_max)) + "' " + std::string(why));
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

Result<std::int64_t> parse_decimal(std::string_view text, unsigned scale) {
  MILLRACE_ASSERT(scale <= kScaleMax, "no such scale");
  const bool negative = text.starts_with('-');
  const std::string_view digits = negative ? text.substr(1) : text;
  std::int64_t units = 0;
  bool overflow = false;
  const auto push = [&](int digit) {
    overflow |= __builtin_mul_overflow(units, 10, &units);
    overflow |= __builtin_sub_overflow(units, digit, &units);  // downward, since the lowest value has no opposite
  };
  std::size_t at = 0;
  while (at < digits.size() && is_digit(digits[at])) push(digits[at++] - '0');
  const std::size_t whole = at;
  unsigned behind = 0;
  if (whole > 0 && at < digits.size() && digits[at] == '.') {
    for (++at; at < digits.size() && is_digit(digits[at]); ++at, ++behind) {
      if (behind < scale) {
        push(digits[at] - '0');
      } else if (digits[at] != '0') {
        return malformed(text, "has more than " + std::to_string(scale) + " decimals");
      }
    }
  }
  const bool point_without_digits = at > whole && behind == 0;
  if (whole == 0 || at != digits.size() || point_without_digits) return malformed(text, "is not a decimal number");
  for (; behind < scale; ++behind) push(0);
  if (!negative) overflow |= __builtin_sub_overflow(std::int64_t{0}, units, &units);
  if (overflow) return malformed(text, "does not fit 64 bits at scale " + std::to_string(scale));
  return units;
}

Result<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return malformed(text, "does not fit 64 bits");
  if (error != std::errc{} || end != text.data() + text.size()) return malformed(text, "is not a whole number");
  return value;
}

unsigned decimals_of(std::string_view text) {
  const auto point = text.find('.');
  return point == std::string_view::npos ? 0 : static_cast<unsigned>(text.size() - point - 1);
}

std::string format_decimal(std::int64_t units, unsigned scale) {
  const bool negative = units < 0;
  // The lowest value has no opposite as a signed number.
  std::string digits =
      std::to_string(negative ? 0 - static_cast<std::uint64_t>(units) : static_cast<std::uint64_t>(units));
  if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
  if (scale > 0) digits.insert(digits.size() - scale, 1, '.');
  return negative ? "-" + digits : digits;
}

std::string format_decimal_short(std::int64_t units, unsigned scale) {
  std::string text = format_decimal(units, scale);
  if (scale == 0) return text;
  text.resize(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace millrace::market
