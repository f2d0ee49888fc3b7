// A log explains itself: the binary schema of its events stands beside its segments.
#pragma once

#include <string>

#include "bus/base/result.hpp"
#include "schemas/registry.hpp"

namespace millrace::daemon {

// Writes <folder>/<type>.bfbs, unless it stands there already.
[[nodiscard]] Status keep_schema(const std::string& folder, const schemas::EventType& type);

}  // namespace millrace::daemon
