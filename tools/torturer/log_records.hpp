// A topic's log as the judge wants it.
#pragma once

#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "tools/torturer/journal.hpp"

namespace millrace::torture {

// Runs of what the log in `folder` holds, oldest first; an event that no publisher of the run wrote is `damaged`.
// Errors: those of reading a log.
[[nodiscard]] Result<std::vector<Record>> records_of_log(const std::string& folder);

}  // namespace millrace::torture
