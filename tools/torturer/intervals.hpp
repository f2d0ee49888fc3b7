// Sets of numbers, kept as intervals; and what came in which order.
#pragma once

#include <cstdint>
#include <map>

namespace millrace::torture {

// Half-open intervals [from, to), disjoint, ascending.
class Intervals {
 public:
  void add(std::uint64_t from, std::uint64_t to);
  // Returns how many of [from, to) there were.
  std::uint64_t remove(std::uint64_t from, std::uint64_t to);
  [[nodiscard]] std::uint64_t count(std::uint64_t from, std::uint64_t to) const;  // of [from, to)
  [[nodiscard]] std::uint64_t size() const;
  template <class Function>
  void each(Function&& function) const {
    for (const auto& [from, to] : intervals_) function(from, to);
  }

 private:
  std::map<std::uint64_t, std::uint64_t> intervals_;
};

// Takes runs of numbers as they came and tells which came twice, late, or never.
class Arrivals {
 public:
  explicit Arrivals(std::uint64_t next) : next_(next) {}

  void take(std::uint64_t from, std::uint64_t count);
  // These will not come, and nobody misses them.
  void excuse(std::uint64_t from, std::uint64_t count);
  // These, and all behind them, come anew.
  void rewind(std::uint64_t to);
  // All before `end` should have come.
  void close(std::uint64_t end);

  [[nodiscard]] std::uint64_t next() const { return next_; }
  [[nodiscard]] std::uint64_t lost() const { return missing_.size(); }
  [[nodiscard]] std::uint64_t duplicated() const { return duplicated_; }
  [[nodiscard]] std::uint64_t reordered() const { return reordered_; }

 private:
  std::uint64_t next_;
  Intervals missing_;
  std::uint64_t duplicated_ = 0;
  std::uint64_t reordered_ = 0;
};

}  // namespace millrace::torture
