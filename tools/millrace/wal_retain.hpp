// millrace wal retain --dry-run: what the core would keep of a log, and why. Touches nothing.
#pragma once

#include "bus/base/clock.hpp"
#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_folder.hpp"
#include "tools/millrace/output.hpp"
#include "wal/file_system.hpp"

namespace millrace::cli {

struct RetainOptions {
  LogChoice choice;  // its configuration says the policy, too: that of the topic whose name the folder has
  bool dry_run = false;
};

[[nodiscard]] Exit wal_retain(const RetainOptions& options, Output& out, WallTime now, wal::FileSystem& files);

}  // namespace millrace::cli
