// The last event of a publisher that a topic's log has: what a process that starts again holds its own work against.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/frame.hpp"
#include "bus/base/result.hpp"
#include "wal/file_system.hpp"

namespace millrace::matching {

struct LastRecorded {
  Sequence sequence;
  std::optional<Cause> cause;
  std::vector<std::byte> payload;
};

// nullopt if the log has none (any more). Looks from the end backward, as far as it must. Errors: what reading says.
[[nodiscard]] Result<std::optional<LastRecorded>> last_recorded(wal::FileSystem& files, const std::string& log_folder,
                                                                PublisherId publisher);

}  // namespace millrace::matching
