// Rows as PostgreSQL's binary COPY takes them. Binary, because a server spends most of a text COPY on reading numbers;
// the layouts are those that the types' receive functions read (numeric_recv and array_recv in its sources).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bus/base/clock.hpp"

namespace millrace::delayed::postgres {

// One COPY's bytes. Memory is kept from one to the next.
class CopyRows {
 public:
  CopyRows() { clear(); }

  // Begins anew.
  void clear();
  // The next row, of so many fields, which follow in order.
  void row(std::int16_t fields);
  void bigint(std::int64_t value);
  void text(std::string_view value);
  // numeric, exactly: the mantissa's digits, `scale` of them behind the point.
  void numeric(std::int64_t mantissa, std::uint8_t scale);
  void numeric(std::uint64_t value);
  // timestamptz, cut to microseconds.
  void timestamp(std::int64_t wall_ns);
  // numeric[]: all of one scale.
  void numerics(std::span<const std::int64_t> mantissas, std::uint8_t scale);

  // All rows, with the trailer behind them; then only clear().
  [[nodiscard]] std::span<const std::byte> finish();

 private:
  template <class T>
  void put(T value);
  template <class T>
  void put_at(std::size_t at, T value);
  void bytes(const void* from, std::size_t size);
  void digits(std::uint64_t magnitude, bool negative, std::uint8_t scale);

  std::vector<std::byte> bytes_;
};

}  // namespace millrace::delayed::postgres
