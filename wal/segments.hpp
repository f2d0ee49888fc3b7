// The segments of a log: their names, their headers, and the batches in one of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/fd.hpp"
#include "wal/file_system.hpp"
#include "wal/format.hpp"

namespace millrace::wal {

struct PublisherEntry {
  PublisherId id;
  std::string name;
  Epoch epoch;
  Incarnation incarnation;
  Sequence last_sequence;  // last recorded, or declared a gap
  bool operator==(const PublisherEntry&) const = default;
};
[[nodiscard]] PublisherRecord to_record(const PublisherEntry& entry);
[[nodiscard]] Result<PublisherEntry> from_record(const PublisherRecord& record);

// "<first offset, 20 digits>-<number, 10 digits>.wal", or ".wal.zst" once it is compressed: names sort in log order.
struct SegmentName {
  Offset first_offset;
  SegmentNumber number;
  auto operator<=>(const SegmentName&) const = default;
};
[[nodiscard]] std::string to_file_name(SegmentName name);
[[nodiscard]] std::string to_cold_name(SegmentName name);  // of the compressed file
[[nodiscard]] std::string to_index_name(SegmentName name);
[[nodiscard]] std::string to_keys_name(SegmentName name);
[[nodiscard]] std::string to_seal_name(SegmentName name);
// Of a segment's file, compressed or not.
[[nodiscard]] std::optional<SegmentName> parse_segment_name(std::string_view file_name);
[[nodiscard]] std::optional<SegmentName> parse_seal_name(std::string_view file_name);
// The segments whose file is in a folder, by number; void and half-made ones too.
[[nodiscard]] Result<std::vector<SegmentName>> list_segment_files(FileSystem& files, const std::string& folder);

// A whole batch whose checksums were right. `body` is valid until the next call on its SegmentReader.
struct Batch {
  BatchHeader header;
  Bytes body;
  std::uint64_t at = 0;  // byte in the segment
  [[nodiscard]] BatchKind kind() const { return BatchKind(header.kind); }
  [[nodiscard]] std::uint64_t end() const { return at + sizeof(BatchHeader) + header.bytes; }
  [[nodiscard]] Offset next_offset() const { return Offset(header.first_offset + header.count); }
};

enum class ReadMode {
  mapped,  // no copy; a sector that cannot be read is SIGBUS for this process. A compressed one is read as by pread
  pread,   // one copy; a sector that cannot be read is an error
};
enum class Check {
  header,
  whole,
  alone,  // whole, and what follows is not wanted: reads little ahead
};

// Reads one segment, compressed or not; holds a shared lock so that its file is not recycled meanwhile. One thread at a
// time.
class SegmentReader {
 public:
  // Errors: deleted (gone, or recycled while it was being opened), unsupported (another version), io_failed.
  // A bad header is corruption (a file gets its name after its header was synced), but no error here: header_valid()
  // says so, and batches are found by find().
  [[nodiscard]] static Result<SegmentReader> open(FileSystem& files, const std::string& folder, SegmentName name,
                                                  ReadMode mode);

  [[nodiscard]] SegmentName name() const { return name_; }
  [[nodiscard]] bool header_valid() const { return header_valid_; }
  [[nodiscard]] const SegmentHeader& header() const { return header_; }
  [[nodiscard]] const std::vector<PublisherEntry>& publishers() const { return publishers_; }  // as it was opened
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] File& file() const { return *file_; }

  // The batch at `at`, or nullopt if no whole one stands there. Check::header leaves `body` empty and unread.
  [[nodiscard]] Result<std::optional<Batch>> batch_at(std::uint64_t at, Check check = Check::whole);
  // The first whole batch at or behind `from` and before `end`.
  [[nodiscard]] Result<std::optional<Batch>> find(std::uint64_t from, std::uint64_t end);
  // Whether a whole batch that begins in [from, to) says that `byte` was synced.
  [[nodiscard]] Result<bool> proves_synced(std::uint64_t byte, std::uint64_t from, std::uint64_t to);

 private:
  static constexpr std::size_t read_ahead_max = 256 * 1024;
  static constexpr std::size_t read_ahead_headers = 16 * 1024;  // who does not want what follows
  // Shorter at the file's end. Not `fresh`: reads up to `ahead` more than asked.
  [[nodiscard]] Result<Bytes> view(std::uint64_t at, std::size_t size, bool fresh, std::size_t ahead);
  [[nodiscard]] Result<bool> load_header();  // false: it is the valid header of another segment

  SegmentName name_;
  std::unique_ptr<File> file_;
  Mapping mapping_;
  std::vector<std::byte> buffer_;  // pread mode
  std::uint64_t buffer_at_ = 0;
  std::size_t buffer_size_ = 0;
  std::size_t ahead_ = read_ahead_max;  // little at a tail, where the same bytes would be read again and again
  std::uint64_t size_ = 0;
  bool header_valid_ = false;
  SegmentHeader header_{};
  std::vector<PublisherEntry> publishers_;
};

// Bytes that prove to have been synced and are bad or gone. Events `from`..`to` (excluded) are lost; equal if there
// were none.
struct Corruption {
  SegmentName segment;
  std::uint64_t from_byte = 0;
  std::uint64_t to_byte = 0;
  Offset from;
  Offset to;
  bool missing = false;  // the whole file is
  [[nodiscard]] std::string message() const;
};

}  // namespace millrace::wal
