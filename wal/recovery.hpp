// Walks the batches of a segment and tells the three ways in which they may stop; and what a writer must know of a
// log before it goes on.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "wal/segments.hpp"

namespace millrace::wal {

// Where a walk through a segment stands.
struct Place {
  std::uint64_t at = 0;
  Offset next_offset;
  std::uint64_t previous = 0;  // checksum of the batch before, or of the header
};
[[nodiscard]] Place begin_of(const SegmentReader& segment);

struct NothingYet {};  // the end of what was written, or a torn tail
using Step = std::variant<Batch, NothingYet, Corruption>;

// Where the walk must stop, as far as that is known.
struct Bound {
  std::optional<std::uint64_t> end;  // the segment's, when its successor or a recorder tells it
  Offset next_offset;                // the successor's first offset; with `end` only
};

// One step; moves `place` behind the batch, or behind the corruption. Without `bound.end` a bad batch is a torn tail
// unless `look_behind` finds a later one that proves it synced (reads the rest of the segment).
[[nodiscard]] Result<Step> step(SegmentReader& segment, Place& place, const Bound& bound, bool look_behind,
                                Check check = Check::whole);

struct RecoveryReport {
  std::uint64_t torn_bytes = 0;  // from the end of the last whole batch to the end of what looks written
  std::vector<Corruption> corruptions;
};

// The state of a log at its end.
struct LogState {
  LogId log_id;  // nil: there is no log yet
  Run run;
  SegmentName last;          // the newest segment that counts
  SegmentNumber number_max;  // of any file there is, void ones too
  Place end;                 // in `last`
  std::int64_t record_time = 0;
  std::vector<PublisherEntry> publishers;
  std::vector<IndexEntry> index;   // of `last`
  std::vector<SegmentName> chain;  // all that count, oldest first
  RecoveryReport report;
};

// `limit`: the writer knows that the log ends at this byte of this segment, whatever else lies on the disk.
struct KnownEnd {
  SegmentNumber segment;
  std::uint64_t byte;
};
[[nodiscard]] Result<LogState> recover(FileSystem& files, const std::string& folder,
                                       std::optional<KnownEnd> limit = std::nullopt);

// Applies a batch to the table of publishers.
[[nodiscard]] Status apply(const Batch& batch, std::vector<PublisherEntry>& publishers);
[[nodiscard]] PublisherEntry* find_publisher(std::vector<PublisherEntry>& publishers, PublisherId id);

}  // namespace millrace::wal
