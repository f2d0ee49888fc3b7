// What may be done with an event that its verifier let through, for fuzzers: all of it, within bounds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bus/base/assert.hpp"
#include "schemas/flat.hpp"
#include "schemas/json_text.hpp"
#include "schemas/registry.hpp"

namespace millrace::schemas::testing {

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

// Reads all there is to read of `payload`, which `type` has verified; returns its JSON.
inline std::string read_all(const EventType& type, std::span<const std::byte> payload) {
  std::string json;
  type.append_json(payload, json);
  MILLRACE_ASSERT(is_utf8(json) && json.starts_with('{') && json.ends_with('}'), "an event is shown as JSON");
  const auto text = type.key_text(payload);
  MILLRACE_ASSERT((type.key(payload) == Key(0)) == (!text || text->empty()), "a key is that of its text");
  for (const std::string& field : type.filterable()) (void)type.matches(payload, field, "1");
  std::string row;
  FlatType(type).append_csv(payload, row);
  MILLRACE_ASSERT(is_utf8(row), "an event is shown as CSV");
  return json;
}

#ifdef MILLRACE_SCHEMAS_TESTDATA
// The built-in types and users', with all that a schema may hold.
inline std::vector<const EventType*> all_types() {
  static const Registry registry = [] {
    auto all = Registry::built_in();
    const auto user = all.add_user_schema("user", EventTypeId{1000}, MILLRACE_SCHEMAS_TESTDATA "/user.fbs", "", "");
    const auto flat = all.add_user_schema("flat", EventTypeId{1001}, MILLRACE_SCHEMAS_TESTDATA "/flat.fbs", "", "");
    MILLRACE_ASSERT(user && flat, "the users' schemas compile");
    return all;
  }();
  return registry.all();
}
#endif

// Bytes in an allocation of their own that ends where they do, so that the sanitizer sees reads beyond.
inline std::vector<std::byte> exact(std::span<const std::uint8_t> bytes) {
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
  return {begin, begin + bytes.size()};
}

}  // namespace millrace::schemas::testing
