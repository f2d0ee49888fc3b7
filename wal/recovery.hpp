// Walks the batches of a segment and tells the three ways in which they may stop; and what a writer must know of a
// log before it goes on.
#pragma once

#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "wal/chain.hpp"
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

// How far behind a bad batch to look for one that proves it synced: bytes [from, to) of the segment.
struct LookBehind {
  std::uint64_t from = 0;
  std::uint64_t to = std::numeric_limits<std::uint64_t>::max();
};

// One step; moves `place` behind the batch, or behind the corruption. Without `bound.end` a bad batch is a torn tail
// unless a later one proves it synced.
[[nodiscard]] Result<Step> step(SegmentReader& segment, Place& place, const Bound& bound, LookBehind look = {},
                                Check check = Check::whole);

// Events that are missing between the end of a segment and the one that continues it.
[[nodiscard]] std::optional<Corruption> lost_between(SegmentName segment, const Place& end, const Link& next);

struct RecoveryReport {
  std::uint64_t torn_bytes = 0;  // from the end of the last whole batch to the end of what looks written
  std::vector<Corruption> corruptions;
};

// The state of a log at its end. Whatever its length, only the newest segment is read, and older ones where the headers
// behind them are bad.
struct LogState {
  LogState(FileSystem& files, const std::string& folder) : chain(files, folder) {}

  LogId log_id;  // nil: there is no log yet
  Run run;
  SegmentName last;                  // the newest segment that counts
  SegmentNumber number_max;          // of any file there is, void ones too
  Place end;                         // in `last`
  std::uint64_t synced_through = 0;  // bytes of `last` that a batch in it says are synced; at least its header
  bool empty = false;                // `last` holds no batch, and nothing that could have been one
  std::int64_t record_time = 0;
  std::vector<PublisherEntry> publishers;
  std::vector<IndexEntry> index;  // of `last`
  Chain chain;                    // up to `last`
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
