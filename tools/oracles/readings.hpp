// The ways back out of the bus: a shared-memory follower, a WebSocket client, the log.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "bus/base/frame.hpp"
#include "bus/bus.hpp"
#include "publishers/market/oracles.hpp"

namespace millrace::oracles {

enum class Via { follower, websocket, log };
[[nodiscard]] std::string to_string(Via via);

// Offsets `from` to `end`, excluded, of a topic.
struct Span {
  std::string topic;
  Offset from;
  Offset end;
};

// What was read: how much, and a hash over offsets and payloads in order.
struct Digest {
  std::uint64_t count = 0;
  std::uint64_t hash = 0;

  void add(Offset offset, const FrameView& frame);
  bool operator==(const Digest&) const = default;
};

using OnFrame = std::function<void(Offset, const FrameView&)>;

// Hands over every event of the span, in order. Errors: an offset that does not follow, a payload that fails its
// verifier, a way that does not answer within a minute.
[[nodiscard]] Status read_span(Bus& bus, std::uint16_t gateway_port, Via via, const Span& span,
                               const OnFrame& on_frame);

// Gives a trade or a book to the check. With `base`, a book is valid at the number of the input that led to it: the
// frame's cause, counted from `base`.
void deliver(const FrameView& frame, market::OracleCheck& check, std::optional<Offset> base);

[[nodiscard]] std::optional<Offset> recorded_end(Bus& bus, const std::string& topic);

// Until the log has an order event or a book that the input at `cause` led to.
[[nodiscard]] Status wait_for_cause(Bus& bus, const Span& orders, const Span& books, Offset cause);

}  // namespace millrace::oracles
