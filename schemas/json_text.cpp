#include "schemas/json_text.hpp"

#include <algorithm>
#include <cstdint>

namespace millrace::schemas {
namespace {

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
}

void append_escaped(char c, std::string& out) {
  constexpr std::string_view hex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += "\\u00";
      out += hex[byte >> 4];
      out += hex[byte & 15];
  }
}

}  // namespace

std::size_t utf8_sequence(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, and what is past U+10FFFF show in the second byte.
  const std::uint8_t second = byte(1);
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
      (lead == 0xf4 && second > 0x8f))
    return 0;
  return size;
}

void append_utf8(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence(text);
    out.append(size == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, size));
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const auto special = static_cast<std::size_t>(std::ranges::find_if_not(text, is_plain) - text.begin());
    out.append(text.substr(0, special));
    text.remove_prefix(special);
    if (text.empty()) break;
    const std::size_t size = utf8_sequence(text);
    if (size == 0) {
      out += "\xef\xbf\xbd";
    } else if (size == 1) {
      append_escaped(text.front(), out);
    } else {
      out.append(text.substr(0, size));
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  out += '"';
}

}  // namespace millrace::schemas
