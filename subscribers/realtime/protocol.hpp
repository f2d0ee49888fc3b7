// What goes over the wire, as PROTOCOL.md says it: requests parsed, answers and events encoded. No state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "subscribers/realtime/event_block.hpp"
#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway::protocol {

enum class Encoding { json, binary };

// Every code that an error message, over WebSocket or HTTP, can carry.
enum class ErrorName {
  bad_json,                // not JSON, or nested too deeply
  bad_request,             // a field is missing, unknown or of the wrong type
  binary_request,          // requests are text messages
  unknown_op,              //
  unknown_topic,           //
  unknown_subscription,    //
  bad_start,               // `start` is none of its forms
  bad_filter,              // `filter` names a field the topic cannot be filtered by
  bad_format,              // `format` is neither json nor binary
  bad_level,               // a level the gateway does not serve
  too_many_subscriptions,  // of this session
  offset_deleted,          // older than the oldest event there is
  offset_ahead,            // beyond the next event
  wrong_log,               // a position of another log
  rolled_back,             // a position that a power cut took back
  replay_failed,           // the log could not be read
  // HTTP only
  not_found,
  method_not_allowed,
  bad_parameter,
  header_too_large,
  body_too_large,
  bad_http,
  origin_refused,
  too_many_sessions,
};
[[nodiscard]] std::string_view to_string(ErrorName name);

struct RequestError {
  ErrorName name;
  std::string message;
  std::string id = "null";  // of the request, as JSON
};
[[nodiscard]] RequestError from_error(const Error& error);

struct Live {};
using Start = std::variant<Live, Earliest, Offset, WallTime, Position>;

struct Filter {
  std::string field;                // one of the event type's filterable(); empty: everything passes
  std::vector<std::string> values;  // any of them
  std::vector<Key> keys;            // of the values if `field` is the key field, else empty: a quick first look
};

struct Subscribe {
  std::string topic;
  Start start;
  Filter filter;
  Encoding encoding = Encoding::json;
};
struct Unsubscribe {
  std::uint32_t subscription = 0;
};
struct Ping {};

struct Request {
  std::string id = "null";  // as JSON: an integer or a string
  std::variant<Subscribe, Unsubscribe, Ping> what;
};
[[nodiscard]] std::variant<Request, RequestError> parse_request(std::string_view text);

// Control messages; each is one WebSocket text message.
[[nodiscard]] std::string subscribed(std::string_view id, std::uint32_t subscription, const TopicInfo& topic,
                                     Offset first, Encoding encoding);
[[nodiscard]] std::string unsubscribed(std::string_view id, std::uint32_t subscription, Offset next);
[[nodiscard]] std::string pong(std::string_view id, WallTime now);
[[nodiscard]] std::string heartbeat(std::uint32_t subscription, std::string_view topic, Offset next, WallTime now);
// `subscription`: the one that this error has ended, if any.
[[nodiscard]] std::string error(const RequestError& error, std::optional<std::uint32_t> subscription = std::nullopt);

// An event as it stands in the array of a JSON message.
void append_event(Offset offset, const EventBlock::Entry& entry, FrameView frame, const schemas::EventType& type,
                  std::string& out);
// A JSON message of events is this, the events with commas between, and "]}".
[[nodiscard]] std::string events_prefix(std::uint32_t subscription, std::string_view topic, Offset first, Offset next,
                                        std::uint32_t count);
inline constexpr std::string_view events_suffix = "]}";

// A binary message of events is a BinaryHeader, then for each event a BinaryEntry and the frame as it is.
struct BinaryHeader {
  std::uint32_t magic;              // binary_magic: "MRE1"
  std::uint16_t header_size;        // of this header
  std::uint16_t entry_header_size;  // of BinaryEntry
  std::uint32_t subscription;
  std::uint32_t count;         // events in this message
  std::uint64_t first_offset;  // the first offset this message accounts for, whether it passed the filter or not
  std::uint64_t next_offset;   // the first offset it does not account for: where the next message begins
  std::int64_t sent_time;      // wall-clock nanoseconds
};
struct BinaryEntry {
  std::uint64_t offset;
  std::int64_t record_time;  // wall-clock nanoseconds
  std::uint32_t publisher;
  std::uint32_t epoch;
  std::uint32_t flags;       // binary_invalid
  std::uint32_t frame_size;  // bytes of the frame behind, padding included: a multiple of 8
};
inline constexpr std::uint32_t binary_magic = 0x3145'524D;
inline constexpr std::uint32_t binary_invalid = 1;  // the payload failed its verifier: do not read it

[[nodiscard]] std::array<char, sizeof(BinaryHeader)> binary_header(std::uint32_t subscription, Offset first,
                                                                   Offset next, std::uint32_t count, WallTime now);
void append_binary_event(Offset offset, const EventBlock::Entry& entry, FrameView frame, std::string& out);

}  // namespace millrace::gateway::protocol
