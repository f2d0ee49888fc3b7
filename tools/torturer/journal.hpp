// What the processes of a torture run write down as they go, and what the judge reads: files of fixed records, appended
// with plain write(2), so that what was written survives a kill -9 of its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"

namespace millrace::torture {

enum class Kind : std::uint32_t {
  started = 1,   // a process takes up the journal; `life`: the how many-th of its place
  position,      // a resume token: log id in `life` and `base`, run in `sequence`
  seen,          // a run of `count` events of one publisher's life, from `sequence` on, at `offset` on
  damaged,       // an event at `offset` that is not what any publisher wrote
  gap,           // told by the bus: `count` events from `sequence` on will not come
  attached,      // a publisher got its name: `base` is its first sequence, `offset` the epoch
  acknowledged,  // all up to `sequence`, included, is synced, as the bus told this publisher
  stall,     // no progress for `count` nanoseconds from `base` (monotonic); `life` 1: told `disconnected` in between
  finished,  // the process ended in good order
};

struct Record {
  Kind kind{};
  std::uint32_t slot = 0;  // the publisher, by its place in the run
  std::uint64_t life = 0;  // which process of that place published it
  std::uint64_t base = 0;  // the first sequence of that life
  std::uint64_t sequence = 0;
  std::uint64_t offset = 0;  // 0 at level live
  std::uint64_t count = 0;
  std::uint64_t check = 0;  // of all before

  bool operator==(const Record&) const = default;
};
static_assert(sizeof(Record) == 56, "records are stored as they lie in memory");

class Journal {
 public:
  // Opens, or makes, the file and reads what is there; half a record at its end, left by a killed writer, is cut off.
  [[nodiscard]] static Result<Journal> open(const std::string& path);

  [[nodiscard]] const std::vector<Record>& found() const { return found_; }
  // Gathers; flush() writes what was gathered. Nothing counts as done before it is flushed.
  void add(Record record);
  [[nodiscard]] Status flush();

 private:
  UniqueFd file_;
  std::vector<Record> found_;
  std::vector<Record> gathered_;
};

// All sound records of a file, of which a torn last one is left out. Errors: not_found, corrupt.
[[nodiscard]] Result<std::vector<Record>> read_journal(const std::string& path);

// Joins events to runs. At level live there are no offsets.
class Runs {
 public:
  struct Event {
    std::uint32_t slot;
    std::uint64_t life;
    std::uint64_t base;
    std::uint64_t sequence;
    std::optional<std::uint64_t> offset;
  };
  // The run that this event ended, if it did not continue it.
  [[nodiscard]] std::optional<Record> add(const Event& event);
  // The run at hand; there is none afterwards.
  [[nodiscard]] std::optional<Record> take();

 private:
  std::optional<Record> run_;
};

}  // namespace millrace::torture
