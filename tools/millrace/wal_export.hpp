// millrace wal export: a log, or a part of it, as one file for other programs.
#pragma once

#include <string>

#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_scan.hpp"

namespace millrace::cli {

struct ExportOptions {
  LogChoice choice{};
  LogRange range{};
  std::string format = "csv";  // or ndjson, sqlite
  std::string out{};           // the file
  bool force = false;          // replace it
  bool progress = false;       // also where standard error is no terminal
};

// The file is there once all of it is, but for what LogScan::run() says is lost; else not at all: FILE.partial is what
// it grows in.
[[nodiscard]] Exit wal_export(const ExportOptions& options);

}  // namespace millrace::cli
