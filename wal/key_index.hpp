// The last event of each key in a sealed segment: what a snapshot reads in place of the segment. A short cut, never
// needed.
//
// The keys are whole texts, not hashes: two keys are never taken for one.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bus/base/frame.hpp"
#include "wal/file_system.hpp"
#include "wal/recovery.hpp"
#include "wal/segments.hpp"

namespace millrace::wal {

// What makes an event's key. The log does not look into payloads: who reads or writes it says.
struct KeyDefinition {
  std::uint64_t fingerprint = 0;  // differs where `of` answers differently
  // The key's bytes, in the frame or in `scratch`; empty: the event has none, and is in no snapshot. Takes any payload,
  // also one that is not sound.
  std::function<std::string_view(const FrameView&, std::string& scratch)> of;
};

struct KeyPlace {
  Offset offset;
  std::uint64_t byte = 0;  // of the batch in the segment
};

struct TextHash {
  using is_transparent = void;
  [[nodiscard]] std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Finds where each key's last event before `end` is in a segment, by reading it, a little at a time if need be.
class KeyScan {
 public:
  using Places = std::unordered_map<std::string, KeyPlace, TextHash, std::equal_to<>>;

  // `segment` and `keys` outlive it.
  KeyScan(SegmentReader& segment, const KeyDefinition& keys, const Bound& bound, Offset end)
      : segment_(&segment), keys_(&keys), bound_(bound), end_(end), place_(begin_of(segment)) {}

  // About so many bytes more. False: that was all. Errors: corrupt (what could not be read may have held newer ones),
  // io_failed.
  [[nodiscard]] Result<bool> go_on(std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max());

  [[nodiscard]] const Places& places() const { return places_; }
  [[nodiscard]] Offset next_offset() const { return place_.next_offset; }  // it has come so far
  [[nodiscard]] const SegmentReader& segment() const { return *segment_; }
  [[nodiscard]] const KeyDefinition& keys() const { return *keys_; }
  [[nodiscard]] const Bound& bound() const { return bound_; }

 private:
  void note(const Batch& batch);

  SegmentReader* segment_;
  const KeyDefinition* keys_;
  Bound bound_;
  Offset end_;
  Place place_;
  Places places_;
  std::string scratch_;
};

// The keys file of one segment, as it was read.
class KeyIndex {
 public:
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::string_view text(std::size_t i) const;
  [[nodiscard]] KeyPlace place(std::size_t i) const;
  [[nodiscard]] std::optional<std::size_t> find(std::string_view text) const;

 private:
  friend std::optional<KeyIndex> read_key_index(FileSystem&, const std::string&, SegmentName, LogId, std::uint64_t,
                                                std::uint64_t);
  [[nodiscard]] KeysEntry entry(std::size_t i) const;
  [[nodiscard]] bool ascending() const;

  std::vector<std::byte> bytes_;  // the whole file
  std::size_t count_ = 0;
};

// `scan` has gone through all of a sealed segment, with both parts of its bound given. Not synced: a bad file is found
// out by its checksum and does no harm. Errors: corrupt (the segment's end is lost; none is written, so that who wants
// a snapshot meets that too), io_failed, no_space.
[[nodiscard]] Status write_key_index(FileSystem& files, const std::string& folder, const KeyScan& scan);
// nullopt if it is missing, bad, of another life of this file, or of another definition of a key.
[[nodiscard]] std::optional<KeyIndex> read_key_index(FileSystem& files, const std::string& folder, SegmentName name,
                                                     LogId log_id, std::uint64_t end, std::uint64_t definition);

}  // namespace millrace::wal
