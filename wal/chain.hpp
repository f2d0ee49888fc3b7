// The chain that a log's segments form, read only as far as somebody asks: names come from one listing of the folder,
// a header is read when it is needed and kept.
//
// The newest segment names the one that it continues, and so on; files that no header names are void and never read. A
// void file recorded nothing: a start's whose place the next start took, or one that a failed writer (or a ticket of
// its, later) could not put to use. What has recorded something is named by every header that follows it until the next
// does, void ones too, and stays in the chain until it is deleted. So a segment that the next file's header names
// counts, whatever becomes of that next file: one look decides. Void files stand before the newest until
// Writer::clear_void_files, before anything is appended; between older ones only if a power cut took that deletion back
// or while a late ticket undoes what it did. Where the next header does not name a file, those behind it decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wal/segments.hpp"

namespace millrace::wal {

struct Link {
  SegmentName name;
  bool header_valid = true;
  std::optional<std::uint64_t> end;  // byte at which the segment ends, as its successor says; none for the newest
  // The segment that this one continues, if it is not there although older ones are: segments are deleted oldest first,
  // so it was lost. And the byte at which it ended.
  std::optional<SegmentName> missing;
  std::uint64_t missing_end = 0;
  std::int64_t created = 0;
  Run run;
  LogId log_id;
};

// Segments have indexes, oldest first; those behind the one asked for may move when a void file among them is found
// out. Errors of all calls that read: deleted (a file is not there any more; list() again and begin anew), unsupported,
// io_failed.
class Chain {
 public:
  // `files` outlives the Chain. Empty until list().
  Chain(FileSystem& files, std::string folder) : files_(&files), folder_(std::move(folder)) {}

  [[nodiscard]] Status list();                             // reads the folder again
  void take_names(const std::vector<SegmentName>& names);  // the same, of a folder that was listed: by number
  void drop_behind(SegmentNumber number);                  // the newest shall be this one, or one before it

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }  // void files that nobody met yet included
  [[nodiscard]] SegmentName name(std::size_t i) const { return entries_[i].name; }
  [[nodiscard]] bool stale() const { return gone_.has_value(); }  // a call answered `deleted` since the last list()

  // Drops void files until the one at `i` counts. The newest always does.
  [[nodiscard]] Status settle(std::size_t i);
  [[nodiscard]] Result<SegmentReader> open(std::size_t i, ReadMode mode);
  // nullopt: it is bad.
  [[nodiscard]] Result<std::optional<SegmentHeader>> header(std::size_t i);
  // What counts at `i`, with where it ends: reads its header, its successor's and that which makes sure of the latter.
  [[nodiscard]] Result<Link> link(std::size_t i);
  // All of them, oldest first: reads every header.
  [[nodiscard]] Result<std::vector<Link>> links();

  // The last that counts before `i`; 0 if there is none.
  [[nodiscard]] Result<std::size_t> before(std::size_t i);
  // The last that begins before `offset`; 0 if none does.
  [[nodiscard]] Result<std::size_t> begins_before(Offset offset);
  // The first file with this number or a higher one; size(): there is none.
  [[nodiscard]] std::size_t at_or_behind(SegmentNumber number) const;
  // The first whose header can be read and is `past`, which no segment is before one that is not; size(): there is
  // none. Reads about log2(size()) headers.
  template <class Past>
  [[nodiscard]] Result<std::size_t> first(const Past& past);

 private:
  struct Entry {
    SegmentName name;
    std::optional<std::optional<SegmentHeader>> header;  // none: not read yet; an empty one: it is bad
  };

  // Which of [begin, end) has a header that can be read and is nearest to `middle`; `end`: none.
  [[nodiscard]] Result<std::size_t> readable(std::size_t begin, std::size_t middle, std::size_t end);

  FileSystem* files_;
  std::string folder_;
  std::vector<Entry> entries_;  // by number
  std::optional<SegmentName> gone_;
};

// All segments that count, oldest first.
[[nodiscard]] Result<std::vector<Link>> list_chain(FileSystem& files, const std::string& folder);

template <class Past>
Result<std::size_t> Chain::first(const Past& past) {
  std::size_t begin = 0;
  std::size_t end = size();
  while (begin < end) {
    const auto probe = readable(begin, begin + (end - begin) / 2, end);
    if (!probe) return fail(probe.error());
    if (*probe == end) break;
    const auto head = header(*probe);
    if (!head) return fail(head.error());
    if (past(**head)) {
      end = *probe;
    } else {
      begin = *probe + 1;
    }
  }
  // Where that one is void, the one behind it takes its place.
  for (; end < size(); ++end) {
    MILLRACE_TRY(settle(end));
    const auto head = header(end);
    if (!head) return fail(head.error());
    if (*head && past(**head)) break;
  }
  return end;
}

}  // namespace millrace::wal
