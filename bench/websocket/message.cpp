#include "bench/websocket/message.hpp"

#include <array>
#include <cstring>

#include "bench/websocket/json_scan.hpp"
#include "bus/base/frame.hpp"
#include "bus/base/rfc3339.hpp"
#include "schemas/families.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::bench {

namespace {

using gateway::protocol::BinaryEntry;
using gateway::protocol::BinaryHeader;

// Times of events come close to each other: the minute is worked out once, and only its seconds each time.
class TimeReader {
 public:
  [[nodiscard]] bool read(std::string_view text, WallTime& out) {
    constexpr std::string_view form = "0000-00-00T00:00:00.000000000Z";
    const bool usual = text.size() == form.size() && text[second_end] == '.' && text.back() == 'Z';
    if (usual && text.substr(0, second_begin) == minute_) {
      std::int64_t ns = 0;
      for (std::size_t i = second_begin; i < form.size() - 1; ++i) {
        if (i == second_end) continue;
        if (text[i] < '0' || text[i] > '9') return false;
        ns = ns * 10 + (text[i] - '0');
      }
      out = minute_begin_ + std::chrono::nanoseconds(ns);
      return true;
    }
    const auto time = parse_time(text);
    if (!time) return false;
    out = *time;
    if (usual) {
      minute_ = text.substr(0, second_begin);
      minute_begin_ = *parse_time(minute_ + "00Z");
    }
    return true;
  }

 private:
  static constexpr std::size_t second_begin = 17, second_end = 19;
  std::string minute_;  // 2026-03-02T09:30:
  WallTime minute_begin_;
};

bool read_event(JsonScan& scan, Seen& seen) {
  return scan.object([&](std::string_view key) {
    if (key == "offset") return scan.number(seen.offset);
    if (key == "sequence") return scan.number(seen.sequence);
    if (key == "publish_time") {
      static thread_local TimeReader times;
      std::string_view text;
      return scan.text(text) && times.read(text, seen.published);
    }
    if (key == "data") {
      return scan.object([&](std::string_view field) {
        return field == "buy_order_id" ? scan.quoted_number(seen.buy_order_id) : scan.skip();
      });
    }
    return scan.skip();
  });
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

std::optional<Message> read_text(std::string_view text, std::vector<Seen>& events) {
  events.clear();
  Message message;
  JsonScan scan(text);
  const bool good = scan.object([&](std::string_view key) {
    if (key == "type") return scan.text(message.type);
    if (key == "first_offset") return scan.number(message.first_offset);
    if (key == "next_offset") return scan.number(message.next_offset);
    if (key == "count") return scan.number(message.count);
    if (key == "events") return scan.array([&] { return read_event(scan, events.emplace_back()); });
    return scan.skip();
  });
  if (!good || !scan.ended()) return std::nullopt;
  return message;
}

std::optional<Message> read_binary(std::span<const std::byte> bytes, std::vector<Seen>& events) {
  events.clear();
  if (bytes.size() < sizeof(BinaryHeader)) return std::nullopt;
  const auto header = load<BinaryHeader>(bytes.data());
  if (header.magic != gateway::protocol::binary_magic || header.header_size < sizeof(BinaryHeader) ||
      header.entry_header_size < sizeof(BinaryEntry) || bytes.size() < header.header_size) {
    return std::nullopt;
  }
  bytes = bytes.subspan(header.header_size);
  while (!bytes.empty()) {
    if (bytes.size() < header.entry_header_size) return std::nullopt;
    const auto entry = load<BinaryEntry>(bytes.data());
    bytes = bytes.subspan(header.entry_header_size);
    // Where a message begins in the buffer is not aligned: a frame is looked at where it is.
    alignas(frame_alignment) std::array<std::byte, 512> copy;
    if (entry.frame_size > bytes.size() || entry.frame_size > copy.size()) return std::nullopt;
    std::memcpy(copy.data(), bytes.data(), entry.frame_size);
    bytes = bytes.subspan(entry.frame_size);
    FrameCursor cursor({copy.data(), entry.frame_size});
    const auto frame = cursor.next();
    if (!frame || (entry.flags & gateway::protocol::binary_invalid) != 0) return std::nullopt;
    const auto* trade = flatbuffers::GetRoot<schemas::TradeEvent>(frame->payload().data());
    events.push_back({entry.offset, frame->sequence().value(), frame->publish_time(), trade->buy_order_id()});
  }
  if (events.size() != header.count) return std::nullopt;
  return Message{"events", header.first_offset, header.next_offset, header.count};
}

WsFound find_frame(std::span<const std::byte> bytes, WsFrame& frame) {
  if (bytes.size() < 2) return WsFound::incomplete;
  const auto first = std::to_integer<unsigned>(bytes[0]);
  const auto second = std::to_integer<unsigned>(bytes[1]);
  if ((first & 0xf0) != 0x80 || (second & 0x80) != 0) return WsFound::broken;  // in parts, extended or masked
  const std::size_t length_bytes = second == 127 ? 8 : second == 126 ? 2 : 0;
  if (bytes.size() < 2 + length_bytes) return WsFound::incomplete;
  std::size_t length = length_bytes == 0 ? second : 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length = length << 8 | std::to_integer<std::size_t>(bytes[2 + i]);
  frame = {first & 0x0f, 2 + length_bytes, length};
  return WsFound::frame;
}

std::string client_frame(std::string_view text) {
  std::string frame = "\x81";
  if (text.size() < 126) {
    frame += static_cast<char>(0x80 | text.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(text.size() >> 8);
    frame += static_cast<char>(text.size() & 0xff);
  }
  frame.append(4, '\0');
  return frame += text;
}

}  // namespace millrace::bench
