// Events whose payload is a text, and that text their key.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "wal/key_index.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal::testing {

// All with the same hash in the frame, as if every key collided.
inline void append_keyed(std::vector<std::byte>& bytes, std::uint64_t sequence, std::string_view key) {
  FrameHeader header{};
  header.length = static_cast<std::uint32_t>(frame_header_size + key.size());
  header.sequence = sequence;
  header.key = 7;
  const std::size_t at = bytes.size();
  bytes.resize(at + frame_size(key.size()));
  std::memcpy(bytes.data() + at, &header, sizeof header);
  if (!key.empty()) std::memcpy(bytes.data() + at + sizeof header, key.data(), key.size());
}

inline KeyDefinition keyed() {
  return {1, [](const FrameView& frame, std::string&) {
            return std::string_view(reinterpret_cast<const char*>(frame.payload().data()), frame.payload().size());
          }};
}
// As care does, in one go.
inline Status write_key_index(FileSystem& files, const std::string& folder, SegmentName name, const Bound& bound,
                              const KeyDefinition& keys) {
  auto segment = SegmentReader::open(files, folder, name, ReadMode::pread);
  if (!segment) return fail(segment.error());
  KeyScan scan(*segment, keys, bound, bound.next_offset);
  const auto scanned = scan.go_on();
  if (!scanned) return fail(scanned.error());
  return wal::write_key_index(files, folder, scan);
}

// Another notion of what a key is: fewer events have one.
inline KeyDefinition keyed_otherwise() {
  return {2, [](const FrameView& frame, std::string& scratch) {
            const std::string_view key = keyed().of(frame, scratch);
            return key.starts_with("rare") ? std::string_view() : key;
          }};
}

}  // namespace millrace::wal::testing
