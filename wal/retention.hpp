// Which segments of a log are kept: the rule alone. In this order: a floor of free space, the most bytes, what durable
// consumers still want, age. So the first two delete whatever anybody wants, and consumers hold back only age.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "bus/base/clock.hpp"
#include "wal/segments.hpp"

namespace millrace::wal {

inline constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

struct RetentionLimits {
  std::uint64_t free_floor = 0;                               // bytes that shall stay free on the file system
  std::uint64_t bytes_max = no_limit;                         // of the log
  WallTime oldest{std::numeric_limits<std::int64_t>::min()};  // what was recorded before may go
  std::chrono::nanoseconds age{};                             // how old that is; 0: not by age
};

// Of the log as it is.
struct RetentionFacts {
  std::uint64_t free_bytes = no_limit;
  std::uint64_t bytes = 0;       // of all its segments, the open one as if it were full
  std::optional<Offset> needed;  // the first that a durable consumer still wants
};

// Of one sealed segment.
struct SegmentFacts {
  SegmentName name;
  Offset end;       // behind its last event
  WallTime newest;  // no event in it was recorded later
  std::uint64_t bytes = 0;
};

enum class Retention {
  kept,
  kept_for_consumer,  // it is old enough, but somebody wants it
  free_space,         // deleted, and so are those below: there is not enough room
  bytes,              // the log is too large
  age,                // it is old enough
};
[[nodiscard]] constexpr bool is_deleted(Retention verdict) {
  return verdict != Retention::kept && verdict != Retention::kept_for_consumer;
}
[[nodiscard]] const char* to_text(Retention verdict);

// What becomes of the oldest sealed segment.
[[nodiscard]] Retention judge(const SegmentFacts& oldest, const RetentionFacts& facts, const RetentionLimits& limits);
// What becomes of each, oldest first: one that is kept keeps those behind it.
[[nodiscard]] std::vector<Retention> judge_all(std::span<const SegmentFacts> sealed, RetentionFacts facts,
                                               const RetentionLimits& limits);
// The floor where none is configured: 2 % of the file system, at most 1 GiB.
[[nodiscard]] std::uint64_t usual_floor(std::uint64_t total_bytes);

// Who wants an offset below `near_below` will soon lose it to a rule that consumers do not hold back: what he wants and
// all behind it is more than 80 % of the bytes allowed, or in the oldest third of the log while less than twice the
// floor is free, or older than 80 % of the age allowed where `facts` names nobody for whom it is kept. From `safe_from`
// on (60 %; the older half) nobody need worry. Both 0: nothing will be deleted by force.
struct OverrunEdges {
  Offset near_below;
  Offset safe_from;
  bool operator==(const OverrunEdges&) const = default;
};
// `open`: the first offset of the open segment, and the bytes written to it.
[[nodiscard]] OverrunEdges overrun_edges(std::span<const SegmentFacts> sealed, Offset open, std::uint64_t open_bytes,
                                         const RetentionFacts& facts, const RetentionLimits& limits);

// Tells for one durable consumer whether the log will be deleted under it, without chattering.
class OverrunAlarm {
 public:
  enum class State { safe, near, overrun };
  // `first`: the oldest event there is.
  State look(Offset wanted, Offset first, const OverrunEdges& edges);
  [[nodiscard]] State state() const { return state_; }

 private:
  State state_ = State::safe;
};

}  // namespace millrace::wal
