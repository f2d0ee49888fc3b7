#include "subscribers/delayed/risk/amount.hpp"

#include <algorithm>
#include <limits>

namespace millrace::delayed::risk {
namespace {

constexpr Wide kLargest = std::numeric_limits<std::int64_t>::max();

// At another scale, cut towards zero; nullopt where more digits would not fit.
std::optional<Wide> at_scale(const Amount& amount, unsigned scale) {
  if (scale >= amount.scale) return shift(amount.units, scale - amount.scale);
  Wide units = amount.units;
  for (unsigned i = scale; i < amount.scale && units != 0; ++i) units /= 10;
  return units;
}

bool fits(Wide units) {
  return units >= -kLargest && units <= kLargest;
}

// The lowest number counts as none: without it each has its negative.
std::optional<Wide> whole(bool overflows, Wide result) {
  constexpr Wide lowest = static_cast<Wide>(1) << 126;
  if (overflows || result == -lowest - lowest) return std::nullopt;
  return result;
}

}  // namespace

std::optional<Wide> add(Wide a, Wide b) {
  Wide sum = 0;
  const bool overflows = __builtin_add_overflow(a, b, &sum);
  return whole(overflows, sum);
}

std::optional<Wide> subtract(Wide a, Wide b) {
  Wide difference = 0;
  const bool overflows = __builtin_sub_overflow(a, b, &difference);
  return whole(overflows, difference);
}

std::optional<Wide> multiply(Wide a, Wide b) {
  Wide product = 0;
  const bool overflows = __builtin_mul_overflow(a, b, &product);
  return whole(overflows, product);
}

std::optional<Wide> shift(Wide value, unsigned digits) {
  if (value == 0) return value;
  for (unsigned i = 0; i < digits; ++i) {
    const auto next = multiply(value, 10);
    if (!next) return std::nullopt;
    value = *next;
  }
  return value;
}

// In two parts: the product of all of value with part may not fit 128 bits; that of the remainder, below whole, does.
Wide share(Wide value, std::int64_t part, std::int64_t whole) {
  return value / whole * part + value % whole * part / whole;
}

std::optional<Amount> add(const Amount& a, const Amount& b) {
  const unsigned scale = std::max(a.scale, b.scale);
  const auto left = shift(a.units, scale - a.scale);
  const auto right = shift(b.units, scale - b.scale);
  if (!left || !right) return std::nullopt;
  const auto sum = add(*left, *right);
  if (!sum) return std::nullopt;
  return Amount{*sum, scale};
}

std::optional<Amount> multiply(const Amount& a, const Amount& b) {
  const auto product = multiply(a.units, b.units);
  if (!product) return std::nullopt;
  return Amount{*product, a.scale + b.scale};
}

std::optional<std::strong_ordering> compare(const Amount& a, const Amount& b) {
  const unsigned scale = std::max(a.scale, b.scale);
  const auto left = shift(a.units, scale - a.scale);
  const auto right = shift(b.units, scale - b.scale);
  if (!left || !right) return std::nullopt;
  return *left < *right   ? std::strong_ordering::less
         : *left > *right ? std::strong_ordering::greater
                          : std::strong_ordering::equal;
}

unsigned scale_for(const Amount& a, const Amount& b) {
  for (unsigned scale = std::min<unsigned>(std::max(a.scale, b.scale), kScaleMax); scale > 0; --scale) {
    const auto left = at_scale(a, scale);
    const auto right = at_scale(b, scale);
    if (left && right && fits(*left) && fits(*right)) return scale;
  }
  return 0;
}

std::int64_t units_at(const Amount& amount, unsigned scale) {
  const auto units = at_scale(amount, scale);
  if (units && fits(*units)) return static_cast<std::int64_t>(*units);
  return static_cast<std::int64_t>(amount.units < 0 ? -kLargest : kLargest);
}

}  // namespace millrace::delayed::risk
