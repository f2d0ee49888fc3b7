// From an order's id to its slot: open addressing with linear probing, a deletion closes the gap behind it, so there
// are no tombstones and a long day does not slow it down. Never iterated: its order shows nowhere.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "bus/base/assert.hpp"
#include "publishers/matching/order.hpp"

namespace millrace::matching {

class OrderIndex {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  explicit OrderIndex(std::uint32_t expected) : cells_(std::bit_ceil(std::uint64_t{expected} * 2 + 16)) {}

  [[nodiscard]] std::uint32_t find(OrderId id) const {
    for (auto at = home(id);; at = (at + 1) & mask()) {
      if (cells_[at].slot == kNone || cells_[at].id == id) return cells_[at].slot;
    }
  }

  // The id must not be there.
  void insert(OrderId id, std::uint32_t slot) {
    if ((size_ + 1) * 2 > cells_.size()) grow();
    ++size_;
    place({id, slot});
  }

  // The id must be there.
  void erase(OrderId id) {
    auto hole = home(id);
    while (cells_[hole].id != id || cells_[hole].slot == kNone) {
      MILLRACE_ASSERT(cells_[hole].slot != kNone, "the order is not in the index");
      hole = (hole + 1) & mask();
    }
    for (auto at = (hole + 1) & mask(); cells_[at].slot != kNone; at = (at + 1) & mask()) {
      // A cell may move back to the hole unless its home lies behind the hole.
      if (((at - home(cells_[at].id)) & mask()) >= ((at - hole) & mask())) {
        cells_[hole] = cells_[at];
        hole = at;
      }
    }
    cells_[hole] = {};
    --size_;
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  struct Cell {
    OrderId id;
    std::uint32_t slot = kNone;
  };

  [[nodiscard]] std::uint64_t mask() const { return cells_.size() - 1; }

  // Ids are mostly counted upward, possibly with a stride: mix every bit.
  [[nodiscard]] std::uint64_t home(OrderId id) const {
    auto x = id.value();
    x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ULL;
    return (x ^ (x >> 32)) & mask();
  }

  void place(Cell cell) {
    auto at = home(cell.id);
    while (cells_[at].slot != kNone) at = (at + 1) & mask();
    cells_[at] = cell;
  }

  void grow() {
    std::vector<Cell> old(cells_.size() * 2);
    old.swap(cells_);
    for (const auto& cell : old) {
      if (cell.slot != kNone) place(cell);
    }
  }

  std::vector<Cell> cells_;
  std::uint64_t size_ = 0;
};

}  // namespace millrace::matching
