#include "subscribers/delayed/postgres/copy_rows.hpp"

#include <cstring>

namespace millrace::delayed::postgres {
namespace {

constexpr std::string_view signature("PGCOPY\n\377\r\n\0", 11);
constexpr std::int32_t numeric_oid = 1700;
constexpr std::int64_t epoch_2000_us = 946'684'800'000'000;  // microseconds from 1970 to PostgreSQL's epoch

template <class T>
T big_endian(T value) {
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(static_cast<std::uint16_t>(value)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(static_cast<std::uint32_t>(value)));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<std::uint64_t>(value)));
}

}  // namespace

template <class T>
void CopyRows::put(T value) {
  const T swapped = big_endian(value);
  bytes(&swapped, sizeof swapped);
}

template <class T>
void CopyRows::put_at(std::size_t at, T value) {
  const T swapped = big_endian(value);
  std::memcpy(bytes_.data() + at, &swapped, sizeof swapped);
}

void CopyRows::bytes(const void* from, std::size_t size) {
  const auto* const begin = static_cast<const std::byte*>(from);
  bytes_.insert(bytes_.end(), begin, begin + size);
}

void CopyRows::clear() {
  bytes_.clear();
  bytes(signature.data(), signature.size());
  put(std::int32_t{0});  // flags
  put(std::int32_t{0});  // bytes of extensions to the header
}

void CopyRows::row(std::int16_t fields) {
  put(fields);
}

void CopyRows::bigint(std::int64_t value) {
  put(std::int32_t{8});
  put(value);
}

void CopyRows::text(std::string_view value) {
  put(static_cast<std::int32_t>(value.size()));
  bytes(value.data(), value.size());
}

void CopyRows::numeric(std::int64_t mantissa, std::uint8_t scale) {
  const auto bits = static_cast<std::uint64_t>(mantissa);
  digits(mantissa < 0 ? 0 - bits : bits, mantissa < 0, scale);
}

void CopyRows::numeric(std::uint64_t value) {
  digits(value, false, 0);
}

// int32 size, then int16 each: count of digits, weight of the first (a power of 10000), sign, digits behind the point
// to be shown, and the digits to the base 10000, the most significant first, without zeros at either end.
void CopyRows::digits(std::uint64_t magnitude, bool negative, std::uint8_t scale) {
  static constexpr std::uint32_t powers[] = {1, 10, 100, 1000, 10'000};
  const int ragged = scale % 4;  // decimal digits in the last digit behind the point, if it is not full
  const int behind_point = (scale + 3) / 4;
  std::int16_t found[6];  // the least significant first; 2^64 has 20 decimal digits
  int count = 0, zeros = 0;
  const auto take = [&](std::uint64_t digit) {
    if (count == 0 && digit == 0) {
      ++zeros;
    } else {
      found[count++] = static_cast<std::int16_t>(digit);
    }
  };
  if (ragged != 0) {
    take(magnitude % powers[ragged] * powers[4 - ragged]);
    magnitude /= powers[ragged];
  }
  for (; magnitude != 0; magnitude /= 10'000) take(magnitude % 10'000);
  put(static_cast<std::int32_t>(8 + 2 * count));
  put(static_cast<std::int16_t>(count));
  put(static_cast<std::int16_t>(count == 0 ? 0 : count + zeros - 1 - behind_point));
  put(static_cast<std::int16_t>(negative && count > 0 ? 0x4000 : 0));
  put(static_cast<std::int16_t>(scale));
  while (count > 0) put(found[--count]);
}

void CopyRows::timestamp(std::int64_t wall_ns) {
  std::int64_t us = wall_ns / 1000;
  if (wall_ns % 1000 < 0) --us;
  bigint(us - epoch_2000_us);
}

void CopyRows::numerics(std::span<const std::int64_t> mantissas, std::uint8_t scale) {
  const std::size_t size_at = bytes_.size();
  put(std::int32_t{0});                                       // its size, set below
  put(static_cast<std::int32_t>(mantissas.empty() ? 0 : 1));  // dimensions
  put(std::int32_t{0});                                       // no nulls
  put(numeric_oid);
  if (!mantissas.empty()) {
    put(static_cast<std::int32_t>(mantissas.size()));
    put(std::int32_t{1});  // the first index
  }
  for (const std::int64_t mantissa : mantissas) numeric(mantissa, scale);
  put_at(size_at, static_cast<std::int32_t>(bytes_.size() - size_at - sizeof(std::int32_t)));
}

std::span<const std::byte> CopyRows::finish() {
  put(std::int16_t{-1});
  return bytes_;
}

}  // namespace millrace::delayed::postgres
