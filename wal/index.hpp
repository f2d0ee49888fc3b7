// The sparse index of a segment, by offset and by time: a short cut into it, never needed.
#pragma once

#include <vector>

#include "wal/file_system.hpp"
#include "wal/recovery.hpp"
#include "wal/segments.hpp"

namespace millrace::wal {

// Notes the first batch, then one about every 256 KiB.
class IndexBuilder {
 public:
  void add(const BatchHeader& header, std::uint64_t at) {
    if (!entries_.empty() && at < entries_.back().byte + every_bytes) return;
    entries_.push_back({header.first_offset, header.record_time, at});
  }
  void restart() { entries_.clear(); }
  [[nodiscard]] const std::vector<IndexEntry>& entries() const { return entries_; }

 private:
  static constexpr std::uint64_t every_bytes = 256 * 1024;
  std::vector<IndexEntry> entries_;
};

// By the headers alone. `bound.end` is given.
[[nodiscard]] Result<std::vector<IndexEntry>> build_index(SegmentReader& segment, const Bound& bound);
// Not synced: a bad index is found out by its checksum and does no harm.
[[nodiscard]] Status write_index(FileSystem& files, const std::string& folder, SegmentName name, LogId log_id,
                                 std::uint64_t end, const std::vector<IndexEntry>& entries);
// Empty if it is missing, bad, or of another life of this file. All of it in one read: of a segment of 64 MiB it is
// 6 KiB, less than the checksums of a search by pages would cost; at most 16 MiB are believed.
[[nodiscard]] std::vector<IndexEntry> read_index(FileSystem& files, const std::string& folder, SegmentName name,
                                                 LogId log_id, std::uint64_t end);

}  // namespace millrace::wal
