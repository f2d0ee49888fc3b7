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
#include "bus/base/result.hpp"
#include "subscribers/historical/pacer.hpp"
#include "subscribers/realtime/books.hpp"
#include "subscribers/realtime/event_block.hpp"
#include "subscribers/realtime/event_source.hpp"

namespace millrace::gateway::protocol {

// The first two are those of messages, the others of HTTP.
enum class Encoding { json, binary, lines, csv };

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
  bad_level,               // a level the gateway does not serve, or not to a durable consumer
  bad_consumer,            // `consumer` or `take_over` is none of its forms
  bad_slow,                // `slow` or `queue` is none of its forms, or not for this topic
  bad_speed,               // `speed` is none of its forms
  bad_mode,                // `mode` or `batch` is none of its forms, or a bound is out of its limits
  bad_snapshot,            // `snapshot` is no boolean, or the topic's events have no key
  bad_on_deleted,          // `on_deleted` is neither error nor skip
  too_slow,                // behind its bound, under `disconnect`
  too_many_subscriptions,  // of this session
  offset_deleted,          // older than the oldest event there is
  overrun,                 // the same, of a durable consumer
  offset_ahead,            // beyond the next event
  wrong_log,               // a position of another log
  rolled_back,             // a position that a power cut took back
  replay_failed,           // the log could not be read
  in_use,                  // somebody has the consumer's name
  fenced,                  // another has taken the consumer's name over, or it was reset
  exhausted,               // the topic has no place for one more consumer
  core_away,               // the core did not answer
  consumer_failed,         // the core does not let us have the name
  not_durable,             // nothing to acknowledge
  ack_ahead,               // beyond what was sent
  ack_inside_batch,        // a batch is acknowledged as a whole
  // HTTP only
  not_found,
  method_not_allowed,
  bad_parameter,
  bad_range,  // its end lies before its begin
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
  std::optional<DeletedEvents> deleted{};
};
// `otherwise`: of what has no name of its own.
[[nodiscard]] RequestError from_error(const Error& error, ErrorName otherwise = ErrorName::replay_failed);

struct Live {};
using Start = std::variant<Live, Earliest, Offset, WallTime, Position>;

inline constexpr std::size_t filter_values_max = 64;

struct Filter {
  std::string field;                // one of the event type's filterable(); empty: everything passes
  std::vector<std::string> values;  // any of them
  std::vector<Key> keys;            // of the values if `field` is the key field, else empty: a quick first look
};

// What happens to a subscription whose client reads too slowly.
struct SlowPolicy {
  enum class Kind {
    heal,        // reads on from the log; nothing is lost
    conflate,    // is sent the newest event of each key
    disconnect,  // is told, and closed
  };
  Kind kind = Kind::heal;
  std::uint64_t queue = 0;  // offsets that it may be behind; 0 under `heal`, which has no bound
};
inline constexpr std::array<std::string_view, 3> slow_names = {"heal", "conflate", "disconnect"};  // by kind

// When a batch is closed: by whichever comes first. What lies in the log already does not wait for `age`.
struct BatchBounds {
  std::chrono::nanoseconds age{100'000'000};  // since its first event was at hand
  std::uint32_t count = 10'000;               // events
  std::uint64_t bytes = 128 * 1024;           // of these, as they are sent: reached by its last event
};
// The most that a subscription may ask for, and the least of `bytes`.
inline constexpr std::chrono::nanoseconds batch_age_max{60'000'000'000};
inline constexpr std::uint32_t batch_count_max = 65'536;
inline constexpr std::uint64_t batch_bytes_min = 1024;
inline constexpr std::uint64_t batch_bytes_max = 1 << 20;
// What closed one.
enum class ClosedBy : std::uint32_t { age = 1, count = 2, bytes = 3, log = 4 };
[[nodiscard]] std::string_view to_string(ClosedBy what);

struct Subscribe {
  std::string topic;
  Start start;
  Filter filter;
  Encoding encoding = Encoding::json;
  SlowPolicy::Kind slow = SlowPolicy::Kind::heal;
  std::optional<std::uint64_t> queue;
  bool skip_deleted = false;
  Level level = Level::recorded;
  bool snapshot = false;             // begin with the latest event of each key
  std::optional<BatchBounds> batch;  // none: events come as soon as they can
  std::string consumer;              // a durable one's name; at level synced, under `heal`
  bool take_over = false;
};
// Of a durable consumer: everything before `next` is dealt with.
struct Ack {
  std::uint32_t subscription = 0;
  Offset next;
};
struct Unsubscribe {
  std::uint32_t subscription = 0;
};
struct AskBooks {
  std::uint32_t subscription = 0;
};
// Recorded events of several topics again, merged and paced.
struct StartReplay {
  std::vector<std::string> topics;
  ReplayStart from;
  std::vector<Offset> offsets;                       // in place of it, by topic
  std::optional<std::variant<Offset, WallTime>> to;  // none: what there is
  Filter filter;
  Encoding encoding = Encoding::json;
  Level level = Level::recorded;
  historical::Speed speed = historical::as_fast_as_possible;
  bool paused = false;  // from the start
  bool follow = false;  // goes on into live
};
// What else is asked of a replay.
struct Steer {
  enum class What { pause, resume, step, speed, seek };
  What what = What::pause;
  std::uint32_t subscription = 0;
  std::uint64_t count = 1;    // of step
  historical::Speed speed{};  // of speed
  ReplayStart to{};           // of seek
};
struct Ping {};

struct Request {
  std::string id = "null";  // as JSON: an integer or a string
  std::variant<Subscribe, Unsubscribe, AskBooks, Ack, StartReplay, Steer, Ping> what;
};
[[nodiscard]] std::variant<Request, RequestError> parse_request(std::string_view text);

// Control messages; each is one WebSocket text message.
struct Subscribed {
  std::uint32_t subscription;
  Offset first;
  Encoding encoding;
  SlowPolicy slow;
  bool skip_deleted;
  std::chrono::nanoseconds heartbeat;
  std::chrono::nanoseconds client_timeout;
  Level level = Level::recorded;
  std::string consumer{};
  std::optional<BatchBounds> batch{};
  bool snapshot = false;
};
[[nodiscard]] std::string subscribed(std::string_view id, const TopicInfo& topic, const Subscribed& subscribed);
// What a subscription has come to: in the answers to `unsubscribe` and `books`, and in the error that ends it.
struct Account {
  std::uint32_t subscription;
  Offset first;
  Offset next;
  Books books;
};
[[nodiscard]] std::string unsubscribed(std::string_view id, const Account& account);
[[nodiscard]] std::string books(std::string_view id, std::string_view topic, SlowPolicy::Kind slow,
                                const Account& account, Offset head);
// `acked`: the highest so far; `checkpoint`: what is durable of it.
[[nodiscard]] std::string acked(std::string_view id, std::uint32_t subscription, Offset acked, Offset checkpoint);
[[nodiscard]] std::string pong(std::string_view id, WallTime now);
[[nodiscard]] std::string run_began(std::uint32_t subscription, std::string_view topic, Run run, Offset begin);
[[nodiscard]] std::string heartbeat(std::uint32_t subscription, std::string_view topic, Offset next, WallTime now);
[[nodiscard]] std::string error(const RequestError& error);
// That has ended the subscription.
[[nodiscard]] std::string error(const RequestError& error, const Account& account);

// In-band records of what a subscription is not sent. Offsets and sequences are both included.
struct Left {
  Offset from;
  Offset to;
  std::uint64_t count;  // of these that are not sent
};
[[nodiscard]] std::string gap_deleted(std::uint32_t subscription, std::string_view topic, const Left& left);
// `merged_to`: the end of the range over which the newest of each key is kept; this may be a part of it.
[[nodiscard]] std::string gap_conflated(std::uint32_t subscription, std::string_view topic, const Left& left,
                                        Offset merged_to);
[[nodiscard]] std::string gap_not_recorded(std::uint32_t subscription, std::string_view topic, PublisherId publisher,
                                           Sequence from, Sequence to, Offset before);

// An event as it stands in the array of a JSON message.
void append_event(Offset offset, const EventBlock::Entry& entry, FrameView frame, const schemas::EventType& type,
                  std::string& out);
// A JSON message of events is this, the events with commas between, and "]}".
[[nodiscard]] std::string events_prefix(std::uint32_t subscription, std::string_view topic, Offset first, Offset next,
                                        std::uint32_t count);
inline constexpr std::string_view events_suffix = "]}";
// Likewise of a batch.
[[nodiscard]] std::string batch_prefix(std::uint32_t subscription, std::string_view topic, Offset first, Offset next,
                                       std::uint32_t count, ClosedBy closed_by);
// Likewise of a snapshot. `last`: no more of it follows.
[[nodiscard]] std::string snapshot_prefix(std::uint32_t subscription, std::string_view topic, Offset as_of,
                                          std::uint32_t count, bool last);

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
// A batch and a snapshot have more in their header.
struct BinaryBatchHeader {
  BinaryHeader common;   // of a snapshot: both offsets are the one that it is as of
  std::uint32_t kind;    // binary_batch or binary_snapshot
  std::uint32_t detail;  // of a batch: a ClosedBy; of a snapshot: 1 if no more of it follows
};
inline constexpr std::uint32_t binary_batch = 1;
inline constexpr std::uint32_t binary_snapshot = 2;
[[nodiscard]] std::array<char, sizeof(BinaryBatchHeader)> binary_snapshot_header(std::uint32_t subscription,
                                                                                 Offset as_of, std::uint32_t count,
                                                                                 WallTime now, bool last);
inline constexpr std::uint32_t binary_replay = 3;  // `detail`: how many topics; their next offsets follow
[[nodiscard]] std::array<char, sizeof(BinaryBatchHeader)> binary_batch_header(std::uint32_t subscription, Offset first,
                                                                              Offset next, std::uint32_t count,
                                                                              WallTime now, ClosedBy closed_by);
// `topic`: its place among a replay's, in the upper half of the flags.
void append_binary_event(Offset offset, const EventBlock::Entry& entry, FrameView frame, std::string& out,
                         std::uint16_t topic = 0);

}  // namespace millrace::gateway::protocol
