// What the tests of the log share: one publisher, whose events have sequences 1, 2, 3 ... at offsets 0, 1, 2 ...
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "wal/reader.hpp"
#include "wal/writer.hpp"

namespace millrace::wal::testing {

inline constexpr PublisherId publisher(1);
inline constexpr LogId log_id{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

inline WriterOptions small_segments(std::uint64_t size = 32768) {
  WriterOptions options;
  options.segment_size = size;
  options.log_id = log_id;
  return options;
}
inline PublisherEntry matching() {
  return {publisher, "matching", Epoch(1), {}, Sequence(0)};
}
inline std::vector<std::byte> frames(std::uint64_t first, std::uint32_t count, std::size_t payload = 64) {
  std::vector<std::byte> bytes(count * frame_size(payload));
  for (std::uint32_t i = 0; i < count; ++i) {
    FrameHeader header{};
    header.length = static_cast<std::uint32_t>(frame_header_size + payload);
    header.sequence = first + i;
    std::memcpy(bytes.data() + i * frame_size(payload), &header, sizeof header);
  }
  return bytes;
}
// The publisher's next `count` events, in one batch.
inline Status add(Writer& writer, std::uint32_t count, WallTime now = {1}) {
  const PublisherEntry& entry = writer.publishers().at(0);
  const Sequence first = entry.last_sequence.next();
  const auto done = writer.append(publisher, entry.epoch, first, count, frames(first.value(), count), now);
  if (!done) return fail(done.error());
  return {};
}
// The same, and it is on the disk.
inline Status add_synced(Writer& writer, std::uint32_t count) {
  MILLRACE_TRY(add(writer, count));
  return writer.sync();
}
// A log "t" that holds the publisher's grant.
inline Result<Writer> begin(FileSystem& files, const WriterOptions& options = small_segments(),
                            const std::string& folder = "t") {
  auto writer = Writer::open(files, folder, options, WallTime{1});
  if (writer && writer->publishers().empty()) MILLRACE_TRY(writer->append_publisher(matching(), WallTime{1}));
  return writer;
}

struct Seen {
  std::vector<std::uint64_t> offsets;  // of events whose sequence is offset + 1
  std::vector<Corruption> corruptions;
  std::string problem;  // anything unexpected

  // All of from..to (excluded) in order and nothing else.
  [[nodiscard]] bool is(std::uint64_t from, std::uint64_t to) const {
    if (!problem.empty() || offsets.size() != to - from) return false;
    for (std::uint64_t i = 0; i < offsets.size(); ++i) {
      if (offsets[i] != from + i) return false;
    }
    return true;
  }
};
// Reads until there is no more, going on behind what is corrupt.
inline Seen read_all(Reader& reader, Offset from = Offset(0)) {
  Seen seen;
  for (int calls = 0; calls < 100'000; ++calls) {
    auto batch = reader.next();
    if (!batch && batch.error().code == ErrorCode::corrupt) {
      seen.corruptions.push_back(*reader.corruption());
      continue;
    }
    if (!batch) return seen.problem = batch.error().message, seen;
    if (!*batch) return seen;
    EventCursor events(**batch, from);
    while (const auto event = events.next()) {
      if (event->frame.sequence().value() != event->offset.value() + 1) seen.problem = "an event has another's offset";
      seen.offsets.push_back(event->offset.value());
    }
    if (events.malformed()) seen.problem = "a batch with a malformed frame";
  }
  return seen.problem = "the reader does not come to an end", seen;
}
inline Seen read_log(FileSystem& files, const std::string& folder = "t") {
  auto reader = Reader::open(files, folder);
  if (!reader) return {{}, {}, reader.error().message};
  return read_all(*reader);
}
// Paths of the segments, oldest first.
inline std::vector<std::string> segment_paths(FileSystem& files, const std::string& folder = "t") {
  std::vector<std::string> paths;
  const auto names = list_segment_files(files, folder);
  for (const SegmentName name : names.value()) paths.push_back(join(folder, to_file_name(name)));
  return paths;
}

}  // namespace millrace::wal::testing
