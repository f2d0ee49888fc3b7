#include "publishers/matching/auction.hpp"

#include <algorithm>
#include <cstdlib>
#include <tuple>

namespace millrace::matching {
namespace {

struct Best {
  Price reference;
  std::optional<Uncross> found;

  // Every price from `low` to `high` has this demand and supply. Called with rising prices.
  void consider(Price low, Price high, Quantity demand, Quantity supply) {
    const Uncross candidate{std::clamp(reference, low, high), std::min(demand, supply), demand - supply};
    if (!found || badness(candidate) <= badness(*found)) found = candidate;
  }

 private:
  [[nodiscard]] std::tuple<std::int64_t, std::int64_t, std::int64_t> badness(const Uncross& uncross) const {
    return {-uncross.volume.units, std::abs(uncross.surplus.units), std::abs((uncross.price - reference).units)};
  }
};

}  // namespace

std::optional<Uncross> find_uncross(const Book& book, Price tick, Price reference) {
  if (book.level_count(Side::buy) == 0 || book.level_count(Side::sell) == 0) return std::nullopt;
  const auto best_bid = book.level(Side::buy, 0).price;
  const auto best_ask = book.level(Side::sell, 0).price;
  if (best_bid < best_ask) return std::nullopt;

  // Only levels that cross matter. Demand at a price is all bids at or above it, supply all asks at or below it.
  std::size_t bids = 0;  // not yet passed, the lowest of them is next
  Quantity demand;
  for (; bids < book.level_count(Side::buy); ++bids) {
    const auto level = book.level(Side::buy, bids);
    if (level.price < best_ask) break;
    demand += level.quantity;
  }
  std::size_t ask = 0;
  Quantity supply;
  const auto next_price = [&]() -> std::optional<Price> {
    std::optional<Price> price;
    if (bids > 0) price = book.level(Side::buy, bids - 1).price;
    if (ask < book.level_count(Side::sell)) {
      const auto ask_price = book.level(Side::sell, ask).price;
      if (ask_price <= best_bid) price = price ? std::min(*price, ask_price) : ask_price;
    }
    return price;
  };

  Best best{reference, std::nullopt};
  std::optional<Price> previous;
  while (const auto price = next_price()) {
    if (previous && *previous + tick < *price) best.consider(*previous + tick, *price - tick, demand, supply);
    if (ask < book.level_count(Side::sell) && book.level(Side::sell, ask).price == *price) {
      supply += book.level(Side::sell, ask++).quantity;
    }
    best.consider(*price, *price, demand, supply);
    if (bids > 0 && book.level(Side::buy, bids - 1).price == *price) demand -= book.level(Side::buy, --bids).quantity;
    previous = price;
  }
  return best.found;
}

}  // namespace millrace::matching
