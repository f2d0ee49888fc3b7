// What the gateway sends (subscribers/realtime/PROTOCOL.md), as a client reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/clock.hpp"

namespace millrace::bench {

// What is looked at of each trade.
struct Seen {
  std::uint64_t offset = 0;
  std::uint64_t sequence = 0;
  WallTime published;
  std::uint64_t buy_order_id = 0;  // a field of the payload
};

struct Message {
  std::string_view type;  // "events", "subscribed" ...; points into what was read
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;
  std::uint64_t count = 0;
};

// Put the events into `events`, emptied first. Nullopt if the bytes are not a message of the protocol.
[[nodiscard]] std::optional<Message> read_text(std::string_view text, std::vector<Seen>& events);
[[nodiscard]] std::optional<Message> read_binary(std::span<const std::byte> bytes, std::vector<Seen>& events);

// A WebSocket frame as it comes from a server: whole, not masked.
struct WsFrame {
  unsigned opcode = 0;
  std::size_t header_size = 0;
  std::size_t payload_size = 0;
  [[nodiscard]] std::size_t size() const { return header_size + payload_size; }

  static constexpr unsigned text = 1, binary = 2;
};
enum class WsFound { frame, incomplete, broken };
// Looks at the first bytes; `frame`: the header was complete, the payload need not be.
[[nodiscard]] WsFound find_frame(std::span<const std::byte> bytes, WsFrame& frame);
// A text frame as a client sends it: masked, with a key of zeros. At most 64 KiB.
[[nodiscard]] std::string client_frame(std::string_view text);

}  // namespace millrace::bench
