// What goes over the wire about replays, as PROTOCOL.md says it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "subscribers/historical/pacer.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway::protocol {

// Where a replay is: in the answers to its ops, its heartbeats and its end.
struct ReplayState {
  std::uint32_t subscription = 0;
  std::vector<std::string_view> topics;
  std::vector<Offset> next;  // by topic
  std::vector<Offset> end;   // likewise
  // Likewise: where it began at the oldest event that there was, since its time lay before that.
  std::vector<std::optional<Offset>> deleted_before;
  historical::Speed speed;
  bool paused = false;
  std::optional<WallTime> reached;
  std::uint64_t count = 0;  // events sent
};
[[nodiscard]] std::string replay_answer(std::string_view type, std::string_view id, const ReplayState& state);
// Without an id: of itself. `followed_by`: the subscriptions that go on, by topic.
[[nodiscard]] std::string replay_heartbeat(const ReplayState& state);
[[nodiscard]] std::string replayed(const ReplayState& state, const std::vector<std::uint32_t>& followed_by);
// That has ended it.
[[nodiscard]] std::string replay_error(const RequestError& error, const ReplayState& state);
// A JSON message of a replay's events is this, the events with commas between, and "]}".
[[nodiscard]] std::string replay_prefix(std::uint32_t subscription, std::uint32_t count,
                                        const std::vector<Offset>& next);
// A binary one has a BinaryHeader, kind, topics, and the next offset of each.
[[nodiscard]] std::string replay_header(std::uint32_t subscription, std::uint32_t count,
                                        const std::vector<Offset>& next, WallTime now);

}  // namespace millrace::gateway::protocol
