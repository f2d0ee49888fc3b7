// What market data is made of: plain structs, no bus and no schema in sight.
//
// Prices and quantities are whole units of ten to the minus scale; every struct carries its scale.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bus/base/clock.hpp"
#include "publishers/matching/order.hpp"

namespace millrace::market {

using matching::Aggressor;
using matching::Price;
using matching::Quantity;
using matching::Side;

struct Scale {
  std::uint8_t price = 0;
  std::uint8_t quantity = 0;

  bool operator==(const Scale&) const = default;
};

struct Level {
  Price price;
  Quantity quantity;

  bool operator==(const Level&) const = default;
};

// The ten best levels of each side, best first; where there are fewer the rest is zero.
struct TenLevels {
  static constexpr std::size_t count = 10;
  std::array<Level, count> bids{};
  std::array<Level, count> asks{};

  bool operator==(const TenLevels&) const = default;
};

// A venue's own number of an update or trade. 0 means it gives none.
using VenueNumber = Ordinal<struct VenueNumberTag>;

// A change to a book as the venue sent it.
struct BookUpdate {
  std::string instrument;
  Scale scale;
  WallTime received;
  bool snapshot = false;  // the levels are the whole book
  // The venue's numbers: this update covers [first, last]; `previous` is the last of the update before, where given.
  VenueNumber first;
  VenueNumber last;
  VenueNumber previous;
  std::vector<Level> bids;  // a new quantity for a price; 0 takes the level away
  std::vector<Level> asks;
  std::optional<std::uint32_t> checksum;  // of the book after this update, by the venue's rule
};

struct Quote {
  std::string instrument;
  Scale scale;
  WallTime received;
  VenueNumber number;  // of the last update it takes account of
  Level bid;
  Level ask;
};

struct TradePrint {
  std::string instrument;
  Scale scale;
  WallTime received;
  WallTime matched;
  VenueNumber number;  // of the trade
  Price price;
  Quantity quantity;
  Aggressor aggressor = Aggressor::none;  // none: made by a call auction
  matching::OrderId buy_order;            // 0: not told
  matching::OrderId sell_order;
  bool historical = false;  // repeated on subscribing: made before the capture began
};

using FeedEvent = std::variant<BookUpdate, Quote, TradePrint>;

// A book as it is published: what follows from the updates so far.
struct BookView {
  std::string instrument;
  Scale scale;
  WallTime time;
  // What the book is valid at: the venue's update number, the row of a file, or the number of the command that led to
  // it.
  std::uint64_t valid_at = 0;
  TenLevels levels;
};

using MarketEvent = std::variant<TradePrint, BookView>;

}  // namespace millrace::market
