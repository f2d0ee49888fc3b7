// Where a reader of a topic begins, and what it is told if that is not there.
#pragma once

#include <variant>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "wal/reader.hpp"

namespace millrace {

struct StartLatest {};    // behind what is recorded now
struct StartEarliest {};  // the first event there is
// An Offset, the first event recorded at or after a WallTime, or a Position as a token from an earlier reading, which
// must be of this log and must not have been rolled back.
using Start = std::variant<StartLatest, StartEarliest, Offset, WallTime, Position>;

// Where a time is in the log: the first event recorded at it or later, `end` if there is none. Where events are lost
// just before that one `with_lost` is the first of them, for they may have been of that time. Moves `log`.
struct TimePlace {
  Offset event;
  Offset with_lost;
};
[[nodiscard]] Result<TimePlace> find_time(wal::Reader& log, WallTime time, Offset end);

// The offset to begin at; `end` is the first that is not there yet, `run` the log's current one. Moves `log`. Of a time
// it is that with what is lost, so that the reader meets the corruption, and tells of it.
// Errors: deleted (naming the first offset there is), rolled_back (naming the last common one), invalid_argument (a
// position of another log, an offset beyond the end), and what reading the log says.
[[nodiscard]] Result<Offset> find_start(wal::Reader& log, const Start& start, Offset end, Run run);

// What a durable consumer is told where reading answers `deleted`: `overrun`, with the same range. Another error, or
// one without a range, stays as it is.
[[nodiscard]] Error as_overrun(Error error);

}  // namespace millrace
