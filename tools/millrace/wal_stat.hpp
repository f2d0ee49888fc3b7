// millrace wal stat: what a log holds, by its headers alone or by all of it.
#pragma once

#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_folder.hpp"
#include "tools/millrace/output.hpp"

namespace millrace::cli {

struct StatOptions {
  LogChoice choice{};
  bool full = false;      // read every batch
  bool json = false;      // one line, for programs
  bool progress = false;  // also where standard error is no terminal
};

// Without `full` it costs a header a segment and the newest segment.
[[nodiscard]] Exit wal_stat(const StatOptions& options, Output& out);

}  // namespace millrace::cli
