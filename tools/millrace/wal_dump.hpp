// millrace wal dump: a log as JSON lines, without a daemon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_folder.hpp"
#include "tools/millrace/output.hpp"

namespace millrace::cli {

struct DumpOptions {
  LogChoice choice{};
  std::string from = "earliest";
  std::optional<std::uint64_t> limit{};
  bool raw = false;  // bytes in hexadecimal, no schema needed
};

[[nodiscard]] Exit wal_dump(const DumpOptions& options, Output& out);

}  // namespace millrace::cli
