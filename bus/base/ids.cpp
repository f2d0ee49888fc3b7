#include "bus/base/ids.hpp"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bus/base/assert.hpp"

namespace millrace {

Key key_of(std::string_view name) {
  const std::uint64_t hash = XXH3_64bits(name.data(), name.size());
  return Key(hash == 0 ? 1 : hash);
}

std::array<std::uint8_t, 16> random_uuid_bytes() {
  std::array<std::uint8_t, 16> bytes{};
  const ssize_t filled = ::getrandom(bytes.data(), bytes.size(), 0);
  MILLRACE_ASSERT(filled == static_cast<ssize_t>(bytes.size()), "the kernel gave no random bytes");
  return bytes;
}

std::string to_hex(const std::array<std::uint8_t, 16>& bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::optional<std::array<std::uint8_t, 16>> uuid_bytes_from_hex(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  if (text.size() != 32) return std::nullopt;
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return bytes;
}

}  // namespace millrace
