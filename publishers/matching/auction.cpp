#include "publishers/matching/auction.hpp"

#include <algorithm>
#include <cstdlib>
#include <tuple>

namespace millrace::matching {
namespace {

class Best {
 public:
  explicit Best(Price reference) : reference_(reference) {}

  // Called with rising prices. Every price from `low` to `high` has this demand and supply, of which this much bids
  // better.
  void consider(Price low, Price high, Quantity demand, Quantity supply, Quantity better_demand,
                Quantity better_supply) {
    const Uncross uncross{std::clamp(reference_, low, high), std::min(demand, supply), demand - supply};
    const bool left_short = std::max(better_demand, better_supply) > uncross.volume;
    const Badness badness{-uncross.volume.units, std::abs(uncross.surplus.units), left_short,
                          std::abs((uncross.price - reference_).units)};
    if (found_ && badness >= badness_) return;  // on the tick no two candidates are equally near
    badness_ = badness;
    found_ = uncross;
  }

  [[nodiscard]] std::optional<Uncross> found() const { return found_; }

 private:
  using Badness = std::tuple<std::int64_t, std::int64_t, bool, std::int64_t>;

  Price reference_;
  Badness badness_;
  std::optional<Uncross> found_;
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

  Best best(reference);
  std::optional<Price> previous;
  while (const auto price = next_price()) {
    if (previous && *previous + tick < *price) {
      best.consider(*previous + tick, *price - tick, demand, supply, demand, supply);
    }
    const auto better_supply = supply;
    if (ask < book.level_count(Side::sell) && book.level(Side::sell, ask).price == *price) {
      supply += book.level(Side::sell, ask++).quantity;
    }
    auto better_demand = demand;
    if (bids > 0 && book.level(Side::buy, bids - 1).price == *price) {
      better_demand -= book.level(Side::buy, --bids).quantity;
    }
    best.consider(*price, *price, demand, supply, better_demand, better_supply);
    demand = better_demand;
    previous = price;
  }
  return best.found();
}

}  // namespace millrace::matching
