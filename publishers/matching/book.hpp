// The resting orders of one instrument in price-time priority. It knows nothing of rules: the engine asks and orders.
//
// Each side is an array of (rank, level) sorted so that the best price stands last: most changes happen near the touch
// and so move few entries. Levels and orders live in pools and keep their slot; the orders of a level form a list in
// order of time. Cancel is O(1) while its level keeps other orders, else it costs one search of the array.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "publishers/matching/order.hpp"
#include "publishers/matching/order_index.hpp"

namespace millrace::matching {

inline constexpr std::uint32_t kDepthLevels = 10;

struct DepthLevel {
  Price price;
  Quantity quantity;
  std::uint32_t orders = 0;

  bool operator==(const DepthLevel&) const = default;
};

// The best levels of both sides, best first.
struct Depth {
  BookSequence sequence;
  std::array<DepthLevel, kDepthLevels> bid_levels{};  // beyond the count all zero
  std::array<DepthLevel, kDepthLevels> ask_levels{};
  std::uint32_t bid_count = 0;
  std::uint32_t ask_count = 0;

  bool operator==(const Depth&) const = default;
  [[nodiscard]] std::span<const DepthLevel> bids() const { return {bid_levels.data(), bid_count}; }
  [[nodiscard]] std::span<const DepthLevel> asks() const { return {ask_levels.data(), ask_count}; }
};

// One cache line.
struct alignas(64) RestingOrder {
  OrderId id;
  AccountId account;
  Price price;
  Quantity quantity;   // whole, what has been filled included
  Quantity remaining;  // > 0
  std::uint32_t next = 0;
  std::uint32_t previous = 0;
  std::uint32_t level = 0;
  Side side = Side::buy;
  OrderKind kind = OrderKind::limit;  // limit or post_only
};
static_assert(sizeof(RestingOrder) == 64);

class Book {
 public:
  // Of an order: its slot, valid until the order leaves the book.
  enum class Slot : std::uint32_t { none = UINT32_MAX };

  explicit Book(std::uint32_t orders_expected);

  [[nodiscard]] Slot find(OrderId id) const { return Slot{index_.find(id)}; }
  // The reference is valid until the next `add`.
  [[nodiscard]] const RestingOrder& at(Slot slot) const { return orders_[static_cast<std::uint32_t>(slot)]; }
  // The oldest order at the best price of a side.
  [[nodiscard]] Slot best(Side side) const {
    const auto& ranks = side_of(side);
    return ranks.empty() ? Slot::none : Slot{levels_[ranks.back().level].first};
  }
  // The next younger order at the same price.
  [[nodiscard]] Slot after(Slot slot) const { return Slot{at(slot).next}; }

  // Behind all others of its price. The id must not be in the book; the links and the level are set here.
  void add(const RestingOrder& order);
  void remove(Slot slot);
  // Takes `quantity` off what is open; an order with nothing open leaves.
  void fill(Slot slot, Quantity quantity);
  // Keeps its priority; `quantity` is whole and more than what has been filled, not more than before.
  void reduce(Slot slot, Quantity quantity);

  [[nodiscard]] std::uint64_t order_count() const { return index_.size(); }
  [[nodiscard]] std::size_t level_count(Side side) const { return side_of(side).size(); }
  // `from_best` < level_count.
  [[nodiscard]] DepthLevel level(Side side, std::size_t from_best) const;
  // The oldest order of that level.
  [[nodiscard]] Slot first_of(Side side, std::size_t from_best) const {
    const auto& ranks = side_of(side);
    return Slot{levels_[ranks[ranks.size() - 1 - from_best].level].first};
  }
  // Every order of a side in priority order: for snapshots.
  template <class Visitor>
  void for_each(Side side, Visitor&& visit) const {
    for (std::size_t i = 0; i < level_count(side); ++i) {
      for (auto slot = first_of(side, i); slot != Slot::none; slot = after(slot)) visit(at(slot));
    }
  }
  // Without its sequence, which the engine counts.
  [[nodiscard]] Depth depth() const;

  // True once if any of the ten best levels of a side changed since the last call.
  [[nodiscard]] bool take_changed() {
    const bool changed = changed_;
    changed_ = false;
    return changed;
  }

 private:
  static constexpr std::uint32_t kNil = UINT32_MAX;

  struct Level {
    Price price;
    Quantity quantity;
    std::uint32_t orders = 0;
    std::uint32_t first = kNil;
    std::uint32_t last = kNil;
  };
  // The higher the rank the better the price, on either side.
  struct Rank {
    std::int64_t rank = 0;
    std::uint32_t level = kNil;
  };
  using Ranks = std::vector<Rank>;

  [[nodiscard]] static std::int64_t rank_of(Side side, Price price) {
    return side == Side::buy ? price.units : -price.units;
  }
  [[nodiscard]] const Ranks& side_of(Side side) const { return sides_[static_cast<std::size_t>(side)]; }
  [[nodiscard]] Ranks& side_of(Side side) { return sides_[static_cast<std::size_t>(side)]; }
  // The first entry that is at least as good.
  [[nodiscard]] static std::size_t position(const Ranks& ranks, std::int64_t rank);
  void note_change(Side side, Price price);
  std::uint32_t level_for(Side side, Price price);
  std::uint32_t take_order_slot();
  std::uint32_t take_level_slot();

  OrderIndex index_;
  std::array<Ranks, 2> sides_;
  std::vector<Level> levels_;
  std::vector<RestingOrder> orders_;
  std::uint32_t free_order_ = kNil;  // chained by next
  std::uint32_t free_level_ = kNil;  // chained by first
  bool changed_ = false;
};

}  // namespace millrace::matching
