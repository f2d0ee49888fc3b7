// What an account holds of one instrument, at average cost, in the instrument's units: quantities at its quantity
// scale, prices at its price scale, money at the sum of both.
//
// A trade that closes (part of) the position takes its share of the cost with it, cut towards zero; what is cut stays
// in the cost, so that realised - cost is to the unit what the trades brought in. One that goes through zero closes all
// and opens the rest at its own price.
#pragma once

#include <cstdint>

#include "subscribers/delayed/risk/amount.hpp"

namespace millrace::delayed::risk {

struct Position {
  std::int64_t quantity = 0;  // below zero: short
  Wide cost = 0;              // of what is held: average price times quantity, with its sign
  Wide realised = 0;

  // Buys (`quantity` above zero) or sells. False, and nothing is changed, if a number would not fit.
  [[nodiscard]] bool trade(std::int64_t traded, std::int64_t price);
  // More digits after the point. False, and nothing is changed, if a number would not fit.
  [[nodiscard]] bool rescale(unsigned price_digits, unsigned quantity_digits);

  bool operator==(const Position&) const = default;
};

}  // namespace millrace::delayed::risk
