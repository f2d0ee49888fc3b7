// The part of a topic's log that a replay covers: from here to there, as offsets, times or names.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "bus/start.hpp"
#include "wal/file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::historical {

// Where a durable consumer's checkpoint stands: the next event that it wants.
struct FromConsumer {
  std::string name;
};
using From = std::variant<StartEarliest, StartLatest, Offset, WallTime, Position, FromConsumer>;

struct ToEnd {};    // what is there at the opening
struct ToNever {};  // and on with what comes: live
// An offset or a time is the first that does not belong to it any more. A time behind the last event is like ToEnd.
using To = std::variant<ToEnd, ToNever, Offset, WallTime>;

struct Range {
  Offset from;
  std::optional<Offset> to;  // excluded; none: never ends
};

// As offsets of the log, of which `end` is the first that is not there yet. Moves `log`. Errors, naming the values and
// what there is: invalid_argument (reversed, beyond the end), deleted, rolled_back, not_found (no such consumer), and
// what reading the log says.
[[nodiscard]] Result<Range> find_range(wal::FileSystem& files, const std::string& folder, wal::Reader& log,
                                       const From& from, const To& to, Offset end);

}  // namespace millrace::historical
