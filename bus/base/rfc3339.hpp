// Times as people and JSON write them: 2026-03-01T09:30:00.123456789Z.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bus/base/clock.hpp"

namespace millrace {

// Always UTC with nine digits of a second: sorts as text.
void append_rfc3339(WallTime time, std::string& out);

// A date and time with 'Z' or a numeric zone, and up to nine digits of a second; or digits alone: nanoseconds since
// 1970. Nullopt for anything else.
[[nodiscard]] std::optional<WallTime> parse_time(std::string_view text);

}  // namespace millrace
