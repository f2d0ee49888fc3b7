// Where a publisher's events are in a log: answers that need no walk through all of it, also while it is being written.
//
// Sequences of a publisher only go up, and each segment's header says where each publisher stood when it began: so a
// few headers lead to the one segment to walk through. The bodies of its batches are not read, but for the one found.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bus/base/frame.hpp"
#include "wal/file_system.hpp"
#include "wal/recovery.hpp"

namespace millrace::wal {

struct Located {
  enum class Kind {
    recorded,       // at `offset`
    gap,            // declared one: it will never be in the log
    not_there_yet,  // the log has not come so far
    superseded,     // it will never be there under this epoch: another one has it, or came before it was recorded
    deleted,        // older than the first segment there is: nothing can be said any more
  };
  Kind kind;
  Offset offset;  // recorded: the event's; gap: of the next event in the log; else 0
  Epoch epoch;    // which has the sequence, or the newest that was granted; `deleted`: 0
  bool operator==(const Located&) const = default;
};

// Errors: not_found (no log, or the publisher is not in it), invalid_argument (sequence 0), corrupt (the sequence was
// in bytes that are lost), unsupported, io_failed. What it finds may not be synced yet: see the watermark.
[[nodiscard]] Result<Located> locate(FileSystem& files, const std::string& folder, PublisherId publisher, Epoch epoch,
                                     Sequence sequence);

struct LastEvent {
  Offset offset;
  Sequence sequence;
  Epoch epoch;
  WallTime record_time;
  std::vector<std::byte> frame;  // header and payload
};
// The last event of a publisher that the log has; nullopt if it has none (any more). Errors: as above; a publisher that
// is not in the log has no event.
[[nodiscard]] Result<std::optional<LastEvent>> last_event(FileSystem& files, const std::string& folder,
                                                          PublisherId publisher);

}  // namespace millrace::wal
