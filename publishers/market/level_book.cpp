#include "publishers/market/level_book.hpp"

#include <zlib.h>

#include <algorithm>
#include <string>

#include "publishers/market/decimal.hpp"

namespace millrace::market {
namespace {

constexpr std::size_t okx_levels = 25;

std::uint32_t crc32_of(const std::string& text) {
  // zlib takes unsigned char.
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), text.size()));
}

}  // namespace

void LevelBook::set(Side side, Level level) {
  auto& levels = side == Side::buy ? bids_ : asks_;
  const auto worse = [side](const Level& a, const Level& b) {
    return side == Side::buy ? a.price < b.price : a.price > b.price;
  };
  const auto at = std::lower_bound(levels.begin(), levels.end(), level, worse);
  const bool there = at != levels.end() && at->price == level.price;
  if (level.quantity == Quantity{}) {
    if (there) levels.erase(at);
  } else if (there) {
    at->quantity = level.quantity;
  } else {
    levels.insert(at, level);
    if (depth_max_ != 0 && levels.size() > depth_max_) levels.erase(levels.begin());
  }
}

void LevelBook::clear() {
  bids_.clear();
  asks_.clear();
}

TenLevels LevelBook::ten_levels() const {
  TenLevels view;
  std::copy_n(bids_.rbegin(), std::min(bids_.size(), TenLevels::count), view.bids.begin());
  std::copy_n(asks_.rbegin(), std::min(asks_.size(), TenLevels::count), view.asks.begin());
  return view;
}

std::uint32_t kraken_checksum(const TenLevels& levels) {
  std::string text;
  for (const auto* side : {&levels.asks, &levels.bids}) {
    for (const auto& level : *side) {
      if (level.quantity == Quantity{}) break;
      text += std::to_string(level.price.units) + std::to_string(level.quantity.units);
    }
  }
  return crc32_of(text);
}

std::uint32_t okx_checksum(const LevelBook& book, Scale scale) {
  std::string text;
  for (std::size_t i = 0; i < okx_levels; ++i) {
    for (const auto side : {Side::buy, Side::sell}) {
      if (i >= book.size(side)) continue;
      const auto& level = book.level(side, i);
      if (!text.empty()) text += ':';
      text += format_decimal_short(level.price.units, scale.price) + ':' +
              format_decimal_short(level.quantity.units, scale.quantity);
    }
  }
  return crc32_of(text);
}

}  // namespace millrace::market
