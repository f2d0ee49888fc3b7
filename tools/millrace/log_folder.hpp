// A topic's log as files: where it lies.
#pragma once

#include <string>

#include "bus/base/result.hpp"
#include "bus/log_types.hpp"

namespace millrace::cli {

struct LogChoice {
  std::string log{};     // a folder, or the name of a topic
  std::string config{};  // of millraced, to find a topic's folder; empty: the defaults
  std::string root{};    // table of a user's schema; empty: the one that the log names
};

// A path (with a '/', or that exists) as it is; a topic's folder in the configuration's log_dir.
// Errors: not_found, and what is wrong with the configuration.
[[nodiscard]] Result<std::string> find_log(const LogChoice& choice);

}  // namespace millrace::cli
