// One subscription of a session: a cursor, what it wants to see, and its way through the log while it is behind the
// cache.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "subscribers/realtime/event_source.hpp"
#include "subscribers/realtime/gather.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

struct Subscription {
  std::uint32_t id = 0;
  std::size_t topic = 0;
  std::shared_ptr<const protocol::Filter> filter;
  protocol::Encoding encoding = protocol::Encoding::json;
  Offset cursor;            // the first event not sent yet
  MonotonicTime last_sent;  // events or heartbeat

  // While the log is being opened at a start: the subscribe request has not been answered.
  std::optional<ReplayStart> opening;
  std::string request_id;

  std::shared_ptr<Replay> replay;     // stands at `cursor`, or behind `ready`; null while the cache is enough
  std::shared_ptr<const Body> ready;  // read from the log, to be sent next
  bool reading = false;               // a replay thread has `replay`
  bool log_ran_dry = false;           // the log has not what is wanted yet: ask again at the next tick
};

// A piece of work for a replay thread: opens the log if need be, reads about a message's worth.
struct ReplayRead {
  std::size_t topic = 0;
  ReplayStart start;
  std::shared_ptr<Replay> replay;  // null: open at `start`
  std::shared_ptr<const protocol::Filter> filter;
  protocol::Encoding encoding = protocol::Encoding::json;
  const schemas::EventType* type = nullptr;
  std::size_t bytes_max = 0;
  std::size_t events_max = SIZE_MAX;
  std::shared_ptr<void> slot;
};
struct ReplayChunk {
  std::shared_ptr<Replay> replay;
  std::shared_ptr<const Body> body;
};
[[nodiscard]] Result<ReplayChunk> read_log(EventSource& source, Counters& counters, ReplayRead work);

}  // namespace millrace::gateway
