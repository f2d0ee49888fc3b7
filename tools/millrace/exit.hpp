// How the program ends, as scripts see it.
#pragma once

#include "bus/base/result.hpp"

namespace millrace::cli {

enum class Exit : int {
  ok = 0,
  failed = 1,     // an operation failed; corruption was found
  usage = 2,      // the command line, or what was to be read, was wrong
  no_core = 3,    // no millraced answers
  unhealthy = 4,  // `status`: the core gives reasons
  interrupted = 130,
};

// Says on standard error what was wrong; the exit that fits.
[[nodiscard]] Exit complain(const Error& error);

}  // namespace millrace::cli
