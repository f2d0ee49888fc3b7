// The command line of millrace: its commands, their options and --help.
#pragma once

namespace millrace::cli {

// Parses and runs; the program's exit status.
[[nodiscard]] int run(int count, const char* const* arguments);

}  // namespace millrace::cli
