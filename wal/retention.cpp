#include "wal/retention.hpp"

#include <algorithm>

namespace millrace::wal {
namespace {

constexpr std::uint64_t floor_max = 1ull << 30;
constexpr std::uint64_t floor_part = 50;  // a 50th

std::uint64_t share_of(std::uint64_t bytes, std::uint64_t tenths) {
  return bytes / 10 * tenths;
}

}  // namespace

const char* to_text(Retention verdict) {
  switch (verdict) {
    case Retention::kept:
      return "kept";
    case Retention::kept_for_consumer:
      return "kept: a durable consumer still wants it";
    case Retention::free_space:
      return "deleted: less than the floor is free";
    case Retention::bytes:
      return "deleted: the log is larger than retention_bytes";
    case Retention::age:
      return "deleted: older than retention_age";
  }
  return "";
}

Retention judge(const SegmentFacts& oldest, const RetentionFacts& facts, const RetentionLimits& limits) {
  if (facts.free_bytes < limits.free_floor) return Retention::free_space;
  if (facts.bytes > limits.bytes_max) return Retention::bytes;
  if (oldest.newest >= limits.oldest) return Retention::kept;
  return facts.needed && *facts.needed < oldest.end ? Retention::kept_for_consumer : Retention::age;
}

std::vector<Retention> judge_all(std::span<const SegmentFacts> sealed, RetentionFacts facts,
                                 const RetentionLimits& limits) {
  std::vector<Retention> verdicts;
  bool kept = false;
  for (const SegmentFacts& segment : sealed) {
    Retention verdict = kept ? Retention::kept : judge(segment, facts, limits);
    // Behind one that is kept, it is told who wants it, too.
    if (kept && facts.needed && *facts.needed < segment.end && segment.newest < limits.oldest) {
      verdict = Retention::kept_for_consumer;
    }
    kept = kept || !is_deleted(verdict);
    if (!kept) {
      facts.bytes -= std::min(facts.bytes, segment.bytes);
      if (facts.free_bytes != no_limit) facts.free_bytes += segment.bytes;
    }
    verdicts.push_back(verdict);
  }
  return verdicts;
}

std::uint64_t usual_floor(std::uint64_t total_bytes) {
  return total_bytes == no_limit ? 0 : std::min(floor_max, total_bytes / floor_part);
}

OverrunEdges overrun_edges(std::span<const SegmentFacts> sealed, Offset open, std::uint64_t open_bytes,
                           const RetentionFacts& facts, const RetentionLimits& limits) {
  const auto first_of = [&](std::size_t i) {
    if (i == 0) return Offset(0);
    return i < sealed.size() ? sealed[i].name.first_offset : open;
  };
  OverrunEdges edges;
  if (limits.bytes_max != no_limit) {
    // From which segment on all is no more than so much.
    const auto within = [&](std::uint64_t bytes_max) {
      std::uint64_t bytes = open_bytes;
      std::size_t i = sealed.size();
      while (i > 0 && bytes + sealed[i - 1].bytes <= bytes_max) bytes += sealed[--i].bytes;
      return first_of(i);
    };
    edges = {within(share_of(limits.bytes_max, 8)), within(share_of(limits.bytes_max, 6))};
  }
  if (limits.free_floor > 0 && facts.free_bytes / 2 < limits.free_floor) {
    edges.near_below = std::max(edges.near_below, first_of((sealed.size() + 2) / 3));
    edges.safe_from = std::max(edges.safe_from, first_of((sealed.size() + 1) / 2));
  }
  if (limits.age.count() > 0 && !facts.needed) {
    const auto younger = [&](std::chrono::nanoseconds age) {
      const std::int64_t from = limits.oldest.ns + (limits.age - age).count();
      std::size_t i = 0;
      while (i < sealed.size() && sealed[i].newest.ns < from) ++i;
      return first_of(i);
    };
    edges.near_below = std::max(edges.near_below, younger(limits.age / 10 * 8));
    edges.safe_from = std::max(edges.safe_from, younger(limits.age / 10 * 6));
  }
  return edges;
}

OverrunAlarm::State OverrunAlarm::look(Offset wanted, Offset first, const OverrunEdges& edges) {
  if (wanted < first) {
    state_ = State::overrun;
  } else if (wanted < edges.near_below || (state_ != State::safe && wanted < edges.safe_from)) {
    state_ = State::near;
  } else {
    state_ = State::safe;
  }
  return state_;
}

}  // namespace millrace::wal
