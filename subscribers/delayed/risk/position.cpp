#include "subscribers/delayed/risk/position.hpp"

#include <algorithm>
#include <limits>

namespace millrace::delayed::risk {
namespace {

// Symmetric, so that a magnitude always fits.
bool fits(Wide value) {
  constexpr Wide largest = std::numeric_limits<std::int64_t>::max();
  return value >= -largest && value <= largest;
}

}  // namespace

bool Position::trade(std::int64_t traded, std::int64_t price) {
  if (!fits(traded) || !fits(price) || !fits(Wide{quantity} + traded)) return false;
  Position next = *this;
  std::int64_t opening = traded;
  if (quantity != 0 && (quantity > 0) != (traded > 0)) {
    const std::int64_t held = std::abs(quantity);
    const std::int64_t closing = std::min(held, std::abs(traded));
    const std::int64_t closed = traded > 0 ? closing : -closing;
    const Wide part = share(cost, closing, held);
    const auto brought_in = subtract(-Wide{closed} * price, part);
    const auto realised_now = brought_in ? add(realised, *brought_in) : std::nullopt;
    if (!realised_now) return false;
    next.realised = *realised_now;
    next.cost -= part;
    next.quantity += closed;
    opening -= closed;
  }
  const auto cost_now = add(next.cost, Wide{opening} * price);
  if (!cost_now) return false;
  next.cost = *cost_now;
  next.quantity += opening;
  *this = next;
  return true;
}

bool Position::rescale(unsigned price_digits, unsigned quantity_digits) {
  const auto quantity_now = shift(quantity, quantity_digits);
  const auto cost_now = shift(cost, price_digits + quantity_digits);
  const auto realised_now = shift(realised, price_digits + quantity_digits);
  if (!quantity_now || !fits(*quantity_now) || !cost_now || !realised_now) return false;
  *this = {static_cast<std::int64_t>(*quantity_now), *cost_now, *realised_now};
  return true;
}

}  // namespace millrace::delayed::risk
