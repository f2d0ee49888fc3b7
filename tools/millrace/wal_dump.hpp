// millrace wal dump: a log as JSON lines, without a daemon.
#pragma once

#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_scan.hpp"
#include "tools/millrace/output.hpp"

namespace millrace::cli {

struct DumpOptions {
  LogChoice choice{};
  LogRange range{};
  bool progress = false;  // also where standard error is no terminal
  bool raw = false;       // bytes in hexadecimal, no schema needed
};

[[nodiscard]] Exit wal_dump(const DumpOptions& options, Output& out);

}  // namespace millrace::cli
