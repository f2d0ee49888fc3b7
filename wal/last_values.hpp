// The latest event of each key as of an offset: where a subscriber begins who wants the state first and then every
// change.
//
// As of N means: of the events before N. So the snapshot as of N, and then everything from offset N on, is each event's
// worth once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wal/key_index.hpp"

namespace millrace::wal {

struct LastValue {
  Offset offset;
  PublisherId publisher;
  Epoch epoch;
  WallTime record_time;
  std::vector<std::byte> frame;  // header and payload, a copy

  [[nodiscard]] FrameView view() const { return FrameView(frame.data()); }
};

// Ascending by offset. `end`: as of there; at most the log's end. `key`: that one alone, by its bytes. Events that
// retention has deleted are in no snapshot. Reads the segment that holds `end`, and of the older ones their keys files
// (a segment without a good one is read itself) and the batches that hold a value; while it is being written too, and
// whatever is deleted meanwhile.
// Errors: not_found (no log yet), deleted (`end` is before the first offset there is), corrupt (in what could not be
// read there may have been newer values), unsupported, io_failed.
[[nodiscard]] Result<std::vector<LastValue>> last_values(FileSystem& files, const std::string& folder, Offset end,
                                                         const KeyDefinition& keys,
                                                         std::optional<std::string_view> key = std::nullopt,
                                                         ReadMode mode = ReadMode::pread);

}  // namespace millrace::wal
