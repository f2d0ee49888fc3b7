// A level-2 book: a quantity for each price.
#pragma once

#include <span>
#include <vector>

#include "publishers/market/events.hpp"

namespace millrace::market {

class LevelBook {
 public:
  // `depth_max`: levels a side that the venue keeps up to date; worse ones are dropped. 0: all.
  explicit LevelBook(std::size_t depth_max = 0) : depth_max_(depth_max) {}

  // A quantity of 0 takes the level away, and is harmless where there is none.
  void set(Side side, Level level);
  void clear();

  [[nodiscard]] std::size_t size(Side side) const { return side_of(side).size(); }
  // `from_best` < size.
  [[nodiscard]] const Level& level(Side side, std::size_t from_best) const {
    const auto& levels = side_of(side);
    return levels[levels.size() - 1 - from_best];
  }
  [[nodiscard]] TenLevels ten_levels() const;

 private:
  [[nodiscard]] const std::vector<Level>& side_of(Side side) const { return side == Side::buy ? bids_ : asks_; }

  std::size_t depth_max_;
  // Best last: most changes happen near the touch and so move few entries.
  std::vector<Level> bids_;
  std::vector<Level> asks_;
};

// Kraken's checksum: CRC-32 of the ten best asks, then the ten best bids, each price and quantity at the venue's own
// scale without point and leading zeros.
[[nodiscard]] std::uint32_t kraken_checksum(const TenLevels& levels);
// OKX's checksum: CRC-32 of bid and ask in turn, "price:quantity" joined by colons, of the 25 best levels; a side that
// has fewer is left out from there on.
[[nodiscard]] std::uint32_t okx_checksum(const LevelBook& book, Scale scale);

}  // namespace millrace::market
