#include "publishers/matching/book.hpp"

#include <algorithm>
#include <utility>

#include "bus/base/assert.hpp"

namespace millrace::matching {

Book::Book(std::uint32_t orders_expected) : index_(orders_expected) {
  orders_.reserve(orders_expected);
  levels_.reserve(1024);
  for (auto& ranks : sides_) ranks.reserve(1024);
}

std::size_t Book::position(const Ranks& ranks, std::int64_t rank) {
  // Near the touch a walk beats the search.
  constexpr std::size_t kWalk = 16;
  auto at = ranks.size();
  const auto stop = at > kWalk ? at - kWalk : 0;
  while (at > stop && ranks[at - 1].rank >= rank) --at;
  if (at > stop || at == 0) return at;
  const auto found = std::lower_bound(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(at), rank,
                                      [](const Rank& entry, std::int64_t wanted) { return entry.rank < wanted; });
  return static_cast<std::size_t>(found - ranks.begin());
}

void Book::note_change(Side side, Price price) {
  const auto& ranks = side_of(side);
  changed_ =
      changed_ || ranks.size() <= kDepthLevels || rank_of(side, price) >= ranks[ranks.size() - kDepthLevels].rank;
}

std::uint32_t Book::take_order_slot() {
  if (free_order_ == kNil) {
    orders_.emplace_back();
    return static_cast<std::uint32_t>(orders_.size() - 1);
  }
  return std::exchange(free_order_, orders_[free_order_].next);
}

std::uint32_t Book::take_level_slot() {
  if (free_level_ == kNil) {
    levels_.emplace_back();
    return static_cast<std::uint32_t>(levels_.size() - 1);
  }
  return std::exchange(free_level_, levels_[free_level_].first);
}

std::uint32_t Book::level_for(Side side, Price price) {
  auto& ranks = side_of(side);
  const auto rank = rank_of(side, price);
  const auto at = position(ranks, rank);
  if (at < ranks.size() && ranks[at].rank == rank) return ranks[at].level;
  const auto slot = take_level_slot();
  levels_[slot] = {};
  levels_[slot].price = price;
  ranks.insert(ranks.begin() + static_cast<std::ptrdiff_t>(at), Rank{rank, slot});
  return slot;
}

void Book::add(const RestingOrder& order) {
  const auto slot = take_order_slot();
  const auto level_slot = level_for(order.side, order.price);
  auto& level = levels_[level_slot];
  auto& resting = orders_[slot];
  resting = order;
  resting.level = level_slot;
  resting.next = kNil;
  resting.previous = level.last;
  (level.last == kNil ? level.first : orders_[level.last].next) = slot;
  level.last = slot;
  level.quantity += order.remaining;
  ++level.orders;
  index_.insert(order.id, slot);
  note_change(order.side, order.price);
}

void Book::remove(Slot slot) {
  const auto number = static_cast<std::uint32_t>(slot);
  auto& order = orders_[number];
  auto& level = levels_[order.level];
  note_change(order.side, order.price);
  index_.erase(order.id);
  (order.previous == kNil ? level.first : orders_[order.previous].next) = order.next;
  (order.next == kNil ? level.last : orders_[order.next].previous) = order.previous;
  level.quantity -= order.remaining;
  if (--level.orders == 0) {
    auto& ranks = side_of(order.side);
    const auto at = position(ranks, rank_of(order.side, order.price));
    MILLRACE_ASSERT(at < ranks.size() && ranks[at].level == order.level, "a level must stand in its side's array");
    ranks.erase(ranks.begin() + static_cast<std::ptrdiff_t>(at));
    level.first = std::exchange(free_level_, order.level);
  }
  order.next = std::exchange(free_order_, number);
}

void Book::fill(Slot slot, Quantity quantity) {
  auto& order = orders_[static_cast<std::uint32_t>(slot)];
  MILLRACE_ASSERT(quantity > Quantity{0} && quantity <= order.remaining, "a fill must fit what is open");
  if (quantity == order.remaining) return remove(slot);
  order.remaining -= quantity;
  levels_[order.level].quantity -= quantity;
  note_change(order.side, order.price);
}

void Book::reduce(Slot slot, Quantity quantity) {
  auto& order = orders_[static_cast<std::uint32_t>(slot)];
  const auto by = order.quantity - quantity;
  MILLRACE_ASSERT(by >= Quantity{0} && by < order.remaining, "a reduction must leave something open");
  if (by == Quantity{0}) return;
  order.quantity = quantity;
  order.remaining -= by;
  levels_[order.level].quantity -= by;
  note_change(order.side, order.price);
}

DepthLevel Book::level(Side side, std::size_t from_best) const {
  const auto& ranks = side_of(side);
  const auto& level = levels_[ranks[ranks.size() - 1 - from_best].level];
  return {level.price, level.quantity, level.orders};
}

Depth Book::depth() const {
  Depth depth;
  depth.bid_count = static_cast<std::uint32_t>(std::min<std::size_t>(level_count(Side::buy), kDepthLevels));
  depth.ask_count = static_cast<std::uint32_t>(std::min<std::size_t>(level_count(Side::sell), kDepthLevels));
  for (std::uint32_t i = 0; i < depth.bid_count; ++i) depth.bid_levels[i] = level(Side::buy, i);
  for (std::uint32_t i = 0; i < depth.ask_count; ++i) depth.ask_levels[i] = level(Side::sell, i);
  return depth;
}

}  // namespace millrace::matching
