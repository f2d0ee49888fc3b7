// Reaching the core.
#pragma once

#include <memory>

#include "bus/bus.hpp"

namespace millrace::cli {

// Says on standard error why not, and what to do.
[[nodiscard]] std::unique_ptr<Bus> connect(const BusOptions& options);

}  // namespace millrace::cli
