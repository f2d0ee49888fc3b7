// What the gateway counts, in one list. Any thread reads; those that write are named.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::gateway {

enum class Counter : std::size_t {
  events,             // taken from the source
  events_invalid,     // of these, failed their verifier
  json_encoded,       // events turned into JSON for the live path
  bodies_shared,      // messages whose events another session's message had gathered already
  messages_sent,      // WebSocket messages with events
  bytes_sent,         // in these
  sessions_opened,    // WebSocket
  sessions_refused,   // over the limit
  connections_shed,   // over the limit of connections
  sessions_cut_slow,  // a message was not read in time
  sessions_idle,      // without a subscription for too long
  sessions_broken,    // half or malformed frames, connection reset
  requests_bad,       // malformed or refused requests over WebSocket
  requests_oversize,  // messages over the limit
  http_requests,
  http_errors,          // answered 4xx or 5xx
  http_timeouts,        // a request did not come in time
  http_streams,         // ranges of events that were asked for
  http_streams_cut,     // of these, not read in time, or at an end before the range's
  replay_reads,         // chunks read from the log
  replay_errors,        // that failed
  replays_healed,       // live subscriptions that fell behind the cache and went on from the log
  sessions_cut_behind,  // a subscription under `disconnect` was behind its bound
  conflations,          // ranges of which only the newest event of each key was sent
  gaps_conflated,       // records in-band of what was left out, by reason
  gaps_deleted,
  gaps_not_recorded,
  kinds,
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Counter::kinds)> counter_names = {
    "events",        "events_invalid",    "json_encoded",        "bodies_shared",     "messages_sent",
    "bytes_sent",    "sessions_opened",   "sessions_refused",    "connections_shed",  "sessions_cut_slow",
    "sessions_idle", "sessions_broken",   "requests_bad",        "requests_oversize", "http_requests",
    "http_errors",   "http_timeouts",     "http_streams",        "http_streams_cut",  "replay_reads",
    "replay_errors", "replays_healed",    "sessions_cut_behind", "conflations",       "gaps_conflated",
    "gaps_deleted",  "gaps_not_recorded",
};

class Counters {
 public:
  void add(Counter counter, std::uint64_t by = 1) {
    values_[static_cast<std::size_t>(counter)].fetch_add(by, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get(Counter counter) const {
    return values_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Counter::kinds)> values_{};
};

}  // namespace millrace::gateway
