// Texts of fixed size, as structs in an event: Text16, Text32, Text40, Text48 and whatever a user's schema declares
// alike.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

namespace millrace::schemas {

template <class Text>
concept FixedText = requires(Text& text) {
  text.mutable_bytes()->Data();
  text.bytes()->size();
};

// The text without its padding; valid as long as the event. A null pointer, a field that is not there, reads as empty.
template <FixedText Text>
[[nodiscard]] std::string_view text(const Text* from) {
  if (from == nullptr) return {};
  const char* const begin = reinterpret_cast<const char*>(from->bytes()->Data());
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
  std::memset(bytes, 0, sizeof(Text));  // all of it: a constant size is a store or two, the rest of it a call
  if (size > 0) std::memcpy(bytes, value.data(), size);  // an empty view may point nowhere
  return size == value.size();
}

}  // namespace millrace::schemas
