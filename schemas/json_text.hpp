// A JSON string, quotes included. Always valid UTF-8, whatever the bytes: each that is not becomes U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace millrace::schemas {

void append_json_string(std::string_view text, std::string& out);

// The text, each byte of it that is not UTF-8 as U+FFFD.
void append_utf8(std::string_view text, std::string& out);

// Length of the well-formed UTF-8 sequence that `text` begins with; 0 if it begins with none.
[[nodiscard]] std::size_t utf8_sequence(std::string_view text);

}  // namespace millrace::schemas
