#include "tools/millrace/event_line.hpp"

#include <charconv>
#include <cstdint>

#include "bus/base/rfc3339.hpp"

namespace millrace::cli {
namespace {

void append_number(std::uint64_t value, std::string& out) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void append_optional(std::optional<Offset> offset, std::string& out) {
  if (offset) {
    append_number(offset->value(), out);
  } else {
    out += "null";
  }
}

void append_time(WallTime time, std::string& out) {
  out += '"';
  append_rfc3339(time, out);
  out += '"';
}

// All but the event, up to and with the comma before it.
void append_head(const Event& event, std::string& out) {
  out += "{\"offset\":";
  append_optional(event.offset, out);
  out += ",\"sequence\":";
  append_number(event.sequence().value(), out);
  out += ",\"publisher\":";
  append_number(event.publisher.value(), out);
  out += ",\"epoch\":";
  append_number(event.epoch.value(), out);
  out += ",\"publish_time\":";
  append_time(event.frame.publish_time(), out);
  out += ",\"record_time\":";
  if (event.offset) {
    append_time(event.record_time, out);
  } else {
    out += "null";
  }
  out += ",\"cause\":";
  append_optional(event.frame.cause(), out);
  out += ",\"cause_index\":";
  if (event.frame.cause()) {
    append_number(event.frame.cause_index(), out);
  } else {
    out += "null";
  }
  out += ',';
}

}  // namespace

void append_event_line(const Event& event, const schemas::EventType* type, std::string& out) {
  append_head(event, out);
  out += "\"event\":";
  if (type != nullptr) {
    type->append_json(event.payload(), out);
  } else {
    out += "null,\"invalid\":true";
  }
  out += event.snapshot ? ",\"snapshot\":true}\n" : "}\n";
}

void append_raw_line(const Event& event, std::string& out) {
  constexpr char digits[] = "0123456789abcdef";
  append_head(event, out);
  out += "\"type\":";
  append_number(static_cast<std::uint16_t>(event.frame.event_type()), out);
  out += ",\"bytes\":\"";
  for (const std::byte byte : event.payload()) {
    out += digits[std::to_integer<unsigned>(byte) >> 4];
    out += digits[std::to_integer<unsigned>(byte) & 15];
  }
  out += "\"}\n";
}

}  // namespace millrace::cli
