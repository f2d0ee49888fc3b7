// Where to begin and end, and what to rely on, as words of the command line.
#pragma once

#include <string_view>

#include "bus/base/result.hpp"
#include "bus/follower.hpp"
#include "subscribers/historical/range.hpp"

namespace millrace::cli {

// "earliest", "latest", an offset, a time in RFC 3339, or one in nanoseconds since 1970: a number from 10^17 upward
// (1973) is a time, a smaller one an offset.
[[nodiscard]] Result<Start> parse_start(std::string_view text);
// "end", an offset, or a time as parse_start() takes it.
[[nodiscard]] Result<historical::To> parse_end(std::string_view text);
[[nodiscard]] Result<Level> parse_level(std::string_view text);

}  // namespace millrace::cli
