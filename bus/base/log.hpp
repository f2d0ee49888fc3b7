// What programs say of themselves, to standard error. Asynchronous, and it may drop: no loop waits for a terminal.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace millrace {

// Once, at the start of main; `level`: trace, debug, info, warn, error or off. Unknown ones read as info.
void open_log(const std::string& program, const std::string& level);
// Writes out what waits; at the end of main.
void close_log();

// Usable at any time; before open_log() it writes at once.
[[nodiscard]] spdlog::logger& log();

}  // namespace millrace
