// Texts of fixed size, as structs in an event: Text16, Text32, Text40, Text48 and whatever a user's schema declares
// alike.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace millrace::schemas {

template <class Text>
concept FixedText = requires(Text& text) {
  text.mutable_bytes()->Data();
  text.bytes()->size();
};

namespace detail {

// A text is written in stores as wide as 16 bytes and read in loads of 8, each of which lies in one such store: a load
// that spans two of them waits until both have left the core, behind every store before them. That is the publisher's
// commit, of a line that a reader on another core has.
using Wide __attribute__((vector_size(16))) = std::uint64_t;

// The first `size` (at most 8) bytes at `from`, zeros behind them.
inline std::uint64_t load_part(const char* from, std::size_t size) {
  const auto load = [from]<class T>(std::size_t at, T) {
    T value;
    std::memcpy(&value, from + at, sizeof value);
    return std::uint64_t{value};
  };
  if (size == 8) return load(0, std::uint64_t{});
  if (size >= 4) return load(0, std::uint32_t{}) | load(size - 4, std::uint32_t{}) << (size - 4) * 8;
  if (size == 0) return 0;
  return load(0, std::uint8_t{}) | load(size / 2, std::uint8_t{}) << size / 2 * 8 |
         load(size - 1, std::uint8_t{}) << (size - 1) * 8;
}

inline std::size_t size_of_text(const char* begin, std::size_t size_max) {
  for (std::size_t at = 0; at < size_max; at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, begin + at, sizeof word);
    const std::uint64_t zero = (word - 0x0101010101010101) & ~word & 0x8080808080808080;  // its lowest bit is exact
    if (zero != 0) return at + static_cast<std::size_t>(std::countr_zero(zero)) / 8;
  }
  return size_max;
}

}  // namespace detail

// The text without its padding; valid as long as the event. A null pointer, a field that is not there, reads as empty.
template <FixedText Text>
[[nodiscard]] std::string_view text(const Text* from) {
  if (from == nullptr) return {};
  const char* const begin = reinterpret_cast<const char*>(from->bytes()->Data());
  if constexpr (sizeof(Text) % sizeof(std::uint64_t) == 0) return {begin, detail::size_of_text(begin, sizeof(Text))};
  return {begin, strnlen(begin, sizeof(Text))};
}
template <FixedText Text>
[[nodiscard]] std::string_view text(const Text& from) {
  return text(&from);
}

// False, and the text cut at its size, if `value` does not fit.
template <FixedText Text>
bool set_text(Text* into, std::string_view value) {
  const std::size_t size = std::min(value.size(), sizeof(Text));
  std::uint8_t* const bytes = into->mutable_bytes()->Data();
  if constexpr (sizeof(Text) % sizeof(std::uint64_t) == 0) {
    const auto word = [&](std::size_t at) {
      return detail::load_part(value.data() + std::min(at, size), at < size ? std::min<std::size_t>(size - at, 8) : 0);
    };
    for (std::size_t at = 0; at < sizeof(Text); at += sizeof(detail::Wide)) {
      const detail::Wide wide{word(at), word(at + 8)};
      std::memcpy(bytes + at, &wide, std::min(sizeof wide, sizeof(Text) - at));
    }
  } else {
    std::memset(bytes, 0, sizeof(Text));
    if (size > 0) std::memcpy(bytes, value.data(), size);  // an empty view may point nowhere
  }
  return size == value.size();
}

}  // namespace millrace::schemas
