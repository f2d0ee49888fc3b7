// The price of a call auction.
#pragma once

#include <optional>

#include "publishers/matching/book.hpp"

namespace millrace::matching {

struct Uncross {
  Price price;
  Quantity volume;   // > 0
  Quantity surplus;  // willing at this price but without a counterpart: > 0 buyers, < 0 sellers

  bool operator==(const Uncross&) const = default;
};

// Of all prices on the tick: the one with the most volume; of these the one with the least surplus (either side); of
// these one at which no better-priced order goes short (Shanghai's opening price of 2023-02-07 needs this rule); of
// these the nearest to `reference`, which must stand on the tick. A price needs no order of its own: between two
// orders' prices the surplus can be smaller than at either. nullopt if nothing crosses.
[[nodiscard]] std::optional<Uncross> find_uncross(const Book& book, Price tick, Price reference);

}  // namespace millrace::matching
