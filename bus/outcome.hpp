// What became of an event, as its topic's log tells.
#pragma once

#include <string>

#include "bus/base/ack.hpp"
#include "bus/base/result.hpp"
#include "wal/file_system.hpp"

namespace millrace {

// `synced_end`: the topic's first offset that is not known to be on the disk. Errors: deleted (retention has passed
// it), and what reading the log says.
[[nodiscard]] Result<Outcome> outcome_of(wal::FileSystem& files, const std::string& log_folder,
                                         const PublishPosition& position, Offset synced_end);

}  // namespace millrace
