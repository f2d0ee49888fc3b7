// What is done to a sealed segment, once nobody writes to it any more: in the order of `Care`, each in steps of a few
// MiB, so that the thread that does it is soon free for what publishers wait for.
//
// A further kind of care is an entry of the enum, and a line each in care_done(), begin_care() and
// Writer::next_care(), which says when.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wal/file_system.hpp"
#include "wal/key_index.hpp"
#include "wal/segments.hpp"

namespace millrace::wal {

enum class Care : std::uint8_t {
  seal,      // `.seal`, which chains the segment to those before: see seals.hpp. Only once they are sealed
  keys,      // the last event of each key is noted beside it: see key_index.hpp
  compress,  // `.wal` becomes `.wal.zst`, once it is old enough: see cold.hpp
};
inline constexpr std::size_t care_kinds = 3;
using CareSet = std::bitset<care_kinds>;
[[nodiscard]] constexpr std::size_t index_of(Care care) {
  return static_cast<std::size_t>(care);
}

// The segment that is cared for. Its bytes [0, end) change no more.
struct CareOf {
  FileSystem* files = nullptr;
  std::string folder;
  SegmentName name;
  LogId log_id;
  std::uint64_t end = 0;
  Offset next_offset;                         // where the next segment begins
  std::shared_ptr<const KeyDefinition> keys;  // null: no keys are noted
};

struct CareStep {
  bool done = false;
  std::optional<std::uint64_t> bytes;  // what the segment's file takes from now on, if that has changed
  std::uint64_t beside = 0;            // not done: what a file takes that is made beside the segment's
};

// One kind of care, under way for one segment. Given up at any moment, it leaves at most a file `*.new`, and the
// segment as it was.
class CareWork {
 public:
  virtual ~CareWork() = default;
  // The next step; not called again after one that was the last, or that failed.
  [[nodiscard]] virtual Result<CareStep> step() = 0;
};
inline constexpr std::size_t care_step_bytes = 4 << 20;

// What was done for the segment before: `names` are all there are in the folder.
[[nodiscard]] CareSet care_done(const CareOf& of, const std::vector<std::string>& names);
[[nodiscard]] std::unique_ptr<CareWork> begin_care(Care care, const CareOf& of);

// A step of care: see tickets.hpp.
class CareTicket {
 public:
  [[nodiscard]] Status run();
  [[nodiscard]] bool done() const { return made_.done; }  // it was the last step

 private:
  friend class Writer;
  Care care_{};
  SegmentName name_;
  std::uint64_t life_ = 0;
  std::shared_ptr<CareWork> work_;
  CareStep made_;
};

}  // namespace millrace::wal
