#include "subscribers/realtime/protocol.hpp"

#include <charconv>
#include <chrono>
#include <cstring>

#include "bus/base/rfc3339.hpp"
#include "schemas/json_text.hpp"

namespace millrace::gateway::protocol {

namespace {

void put(std::string& out, std::uint64_t value) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

void put_hex(std::string& out, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(value >> shift) & 15];
}

void put_time(std::string& out, WallTime time) {
  out += '"';
  append_rfc3339(time, out);
  out += '"';
}

void put_field(std::string& out, std::string_view name, std::uint64_t value) {
  out += ",\"";
  out += name;
  out += "\":";
  put(out, value);
}

// ,"topic":"<topic>"
void put_topic(std::string& out, std::string_view topic) {
  out += R"(,"topic":)";
  schemas::append_json_string(topic, out);
}

void put_account(std::string& out, const Account& account) {
  put_field(out, "subscription", account.subscription);
  put_field(out, "first_offset", account.first.value());
  put_field(out, "next_offset", account.next.value());
  out += R"(,"books":{"published":)";
  put(out, account.books.published());
  for (const auto& [name, count] : book_entries) put_field(out, name, account.books.*count);
  out += '}';
}

// {"type":"<type>","id":<id>
std::string answer(std::string_view type, std::string_view id) {
  std::string out = R"({"type":")";
  out += type;
  out += R"(","id":)";
  out += id;
  return out;
}

}  // namespace

std::string_view to_string(ErrorName name) {
  switch (name) {
    case ErrorName::bad_json:
      return "bad_json";
    case ErrorName::bad_request:
      return "bad_request";
    case ErrorName::binary_request:
      return "binary_request";
    case ErrorName::unknown_op:
      return "unknown_op";
    case ErrorName::unknown_topic:
      return "unknown_topic";
    case ErrorName::unknown_subscription:
      return "unknown_subscription";
    case ErrorName::bad_start:
      return "bad_start";
    case ErrorName::bad_filter:
      return "bad_filter";
    case ErrorName::bad_format:
      return "bad_format";
    case ErrorName::bad_level:
      return "bad_level";
    case ErrorName::bad_consumer:
      return "bad_consumer";
    case ErrorName::bad_slow:
      return "bad_slow";
    case ErrorName::bad_speed:
      return "bad_speed";
    case ErrorName::bad_mode:
      return "bad_mode";
    case ErrorName::bad_snapshot:
      return "bad_snapshot";
    case ErrorName::bad_on_deleted:
      return "bad_on_deleted";
    case ErrorName::too_slow:
      return "too_slow";
    case ErrorName::too_many_subscriptions:
      return "too_many_subscriptions";
    case ErrorName::offset_deleted:
      return "offset_deleted";
    case ErrorName::overrun:
      return "overrun";
    case ErrorName::offset_ahead:
      return "offset_ahead";
    case ErrorName::wrong_log:
      return "wrong_log";
    case ErrorName::rolled_back:
      return "rolled_back";
    case ErrorName::replay_failed:
      return "replay_failed";
    case ErrorName::in_use:
      return "in_use";
    case ErrorName::fenced:
      return "fenced";
    case ErrorName::exhausted:
      return "exhausted";
    case ErrorName::core_away:
      return "core_away";
    case ErrorName::consumer_failed:
      return "consumer_failed";
    case ErrorName::not_durable:
      return "not_durable";
    case ErrorName::ack_ahead:
      return "ack_ahead";
    case ErrorName::ack_inside_batch:
      return "ack_inside_batch";
    case ErrorName::not_found:
      return "not_found";
    case ErrorName::method_not_allowed:
      return "method_not_allowed";
    case ErrorName::bad_parameter:
      return "bad_parameter";
    case ErrorName::bad_range:
      return "bad_range";
    case ErrorName::header_too_large:
      return "header_too_large";
    case ErrorName::body_too_large:
      return "body_too_large";
    case ErrorName::bad_http:
      return "bad_http";
    case ErrorName::origin_refused:
      return "origin_refused";
    case ErrorName::too_many_sessions:
      return "too_many_sessions";
  }
  return "internal";
}

std::string_view to_string(ClosedBy what) {
  switch (what) {
    case ClosedBy::age:
      return "age";
    case ClosedBy::count:
      return "count";
    case ClosedBy::bytes:
      return "bytes";
    case ClosedBy::log:
      return "log";
  }
  return "unknown";
}

RequestError from_error(const Error& error, ErrorName otherwise) {
  switch (error.code) {
    case ErrorCode::deleted:
      return {ErrorName::offset_deleted, error.message, "null", error.deleted};
    case ErrorCode::overrun:
      return {ErrorName::overrun, error.message, "null", error.deleted};
    case ErrorCode::invalid_argument:
      return {ErrorName::offset_ahead, error.message};
    case ErrorCode::rolled_back:
      return {ErrorName::rolled_back, error.message};
    case ErrorCode::in_use:
      return {ErrorName::in_use, error.message};
    case ErrorCode::fenced:
      return {ErrorName::fenced, error.message};
    case ErrorCode::exhausted:
      return {ErrorName::exhausted, error.message};
    case ErrorCode::timed_out:
    case ErrorCode::disconnected:
      return {ErrorName::core_away, error.message};
    default:
      return {otherwise, error.message};
  }
}

std::string subscribed(std::string_view id, const TopicInfo& topic, const Subscribed& subscribed) {
  using namespace std::chrono;
  std::string out = answer("subscribed", id);
  put_field(out, "subscription", subscribed.subscription);
  put_topic(out, topic.name);
  out += R"(,"event_type":)";
  schemas::append_json_string(topic.type->name(), out);
  out += subscribed.level == Level::synced ? R"(,"level":"synced")" : R"(,"level":"recorded")";
  if (!subscribed.consumer.empty()) {
    out += R"(,"consumer":)";
    schemas::append_json_string(subscribed.consumer, out);
  }
  out += R"(,"format":)";
  out += subscribed.encoding == Encoding::json ? R"("json")" : R"("binary")";
  put_field(out, "first_offset", subscribed.first.value());
  out += R"(,"log_id":")";
  out += to_hex(topic.log_id.bytes);
  out += '"';
  put_field(out, "run", topic.run.value());
  out += R"(,"slow":")";
  out += slow_names[static_cast<std::size_t>(subscribed.slow.kind)];
  out += '"';
  if (subscribed.slow.kind != SlowPolicy::Kind::heal) put_field(out, "queue", subscribed.slow.queue);
  if (subscribed.snapshot) out += R"(,"snapshot":true)";
  if (subscribed.batch) {
    out += R"(,"mode":"batched","batch":{"age_ms":)";
    put(out, static_cast<std::uint64_t>(subscribed.batch->age / 1ms));
    put_field(out, "count", subscribed.batch->count);
    put_field(out, "bytes", subscribed.batch->bytes);
    out += '}';
  }
  out += subscribed.skip_deleted ? R"(,"on_deleted":"skip")" : R"(,"on_deleted":"error")";
  put_field(out, "heartbeat_ms", static_cast<std::uint64_t>(subscribed.heartbeat / 1ms));
  put_field(out, "timeout_ms", static_cast<std::uint64_t>(subscribed.client_timeout / 1ms));
  out += '}';
  return out;
}

std::string unsubscribed(std::string_view id, const Account& account) {
  std::string out = answer("unsubscribed", id);
  put_account(out, account);
  out += '}';
  return out;
}

std::string books(std::string_view id, std::string_view topic, SlowPolicy::Kind slow, const Account& account,
                  Offset head) {
  std::string out = answer("books", id);
  put_topic(out, topic);
  out += R"(,"slow":")";
  out += slow_names[static_cast<std::size_t>(slow)];
  out += '"';
  put_account(out, account);
  put_field(out, "behind", head > account.next ? head - account.next : 0);
  out += '}';
  return out;
}

std::string acked(std::string_view id, std::uint32_t subscription, Offset acked, Offset checkpoint) {
  std::string out = answer("acked", id);
  put_field(out, "subscription", subscription);
  put_field(out, "next_offset", acked.value());
  put_field(out, "checkpoint", checkpoint.value());
  out += '}';
  return out;
}

std::string pong(std::string_view id, WallTime now) {
  std::string out = answer("pong", id);
  out += R"(,"time":)";
  put_time(out, now);
  out += '}';
  return out;
}

std::string run_began(std::uint32_t subscription, std::string_view topic, Run run, Offset begin) {
  std::string out = R"({"type":"run","subscription":)";
  put(out, subscription);
  put_topic(out, topic);
  out += R"(,"run":)";
  put(out, run.value());
  out += R"(,"first_offset":)";
  put(out, begin.value());
  out += '}';
  return out;
}

std::string heartbeat(std::uint32_t subscription, std::string_view topic, Offset next, WallTime now) {
  std::string out = R"({"type":"heartbeat","subscription":)";
  put(out, subscription);
  out += R"(,"topic":)";
  schemas::append_json_string(topic, out);
  out += R"(,"next_offset":)";
  put(out, next.value());
  out += R"(,"time":)";
  put_time(out, now);
  out += '}';
  return out;
}

namespace {
// All but the closing brace.
std::string begin_error(const RequestError& error) {
  std::string out = answer("error", error.id);
  out += R"(,"code":")";
  out += to_string(error.name);
  out += R"(","message":)";
  schemas::append_json_string(error.message, out);
  if (error.deleted) {
    put_field(out, "from", error.deleted->from.value());
    put_field(out, "to", error.deleted->to.value());
  }
  return out;
}

std::string begin_gap(std::uint32_t subscription, std::string_view topic, std::string_view reason) {
  std::string out = R"({"type":"gap","subscription":)";
  put(out, subscription);
  put_topic(out, topic);
  out += R"(,"reason":")";
  out += reason;
  out += '"';
  return out;
}

void put_left(std::string& out, const Left& left) {
  put_field(out, "from", left.from.value());
  put_field(out, "to", left.to.value());
  put_field(out, "count", left.count);
}
}  // namespace

std::string error(const RequestError& error) {
  return begin_error(error) + '}';
}

std::string error(const RequestError& error, const Account& account) {
  std::string out = begin_error(error);
  put_account(out, account);
  out += '}';
  return out;
}

std::string gap_deleted(std::uint32_t subscription, std::string_view topic, const Left& left) {
  std::string out = begin_gap(subscription, topic, "deleted");
  put_left(out, left);
  out += '}';
  return out;
}

std::string gap_conflated(std::uint32_t subscription, std::string_view topic, const Left& left, Offset merged_to) {
  std::string out = begin_gap(subscription, topic, "conflated");
  put_left(out, left);
  put_field(out, "merged_to", merged_to.value());
  out += '}';
  return out;
}

std::string gap_not_recorded(std::uint32_t subscription, std::string_view topic, PublisherId publisher, Sequence from,
                             Sequence to, Offset before) {
  std::string out = begin_gap(subscription, topic, "not_recorded");
  put_field(out, "publisher", publisher.value());
  put_field(out, "from_sequence", from.value());
  put_field(out, "to_sequence", to.value());
  put_field(out, "before_offset", before.value());
  put_field(out, "count", to.next() - from);
  out += '}';
  return out;
}

void append_event(Offset offset, const EventBlock::Entry& entry, FrameView frame, const schemas::EventType& type,
                  std::string& out) {
  out += R"({"offset":)";
  put(out, offset.value());
  out += R"(,"publisher":)";
  put(out, entry.publisher.value());
  out += R"(,"epoch":)";
  put(out, entry.epoch.value());
  out += R"(,"sequence":)";
  put(out, frame.sequence().value());
  out += R"(,"publish_time":)";
  put_time(out, frame.publish_time());
  out += R"(,"record_time":)";
  put_time(out, entry.record_time);
  out += R"(,"key":")";
  put_hex(out, frame.key().value());
  out += R"(","cause":)";
  if (const auto cause = frame.cause()) {
    put(out, cause->value());
  } else {
    out += "null";
  }
  out += R"(,"data":)";
  if (entry.valid) {
    type.append_json(frame.payload(), out);
  } else {
    out += R"(null,"invalid":true)";
  }
  out += '}';
}

namespace {
// {"type":"<type>", and what every message of events has.
std::string begin_events(std::string_view type, std::uint32_t subscription, std::string_view topic, Offset first,
                         Offset next, std::uint32_t count) {
  std::string out = R"({"type":")";
  out += type;
  out += R"(","subscription":)";
  put(out, subscription);
  put_topic(out, topic);
  put_field(out, "first_offset", first.value());
  put_field(out, "next_offset", next.value());
  put_field(out, "count", count);
  return out;
}
}  // namespace

std::string events_prefix(std::uint32_t subscription, std::string_view topic, Offset first, Offset next,
                          std::uint32_t count) {
  return begin_events("events", subscription, topic, first, next, count) + R"(,"events":[)";
}

std::string batch_prefix(std::uint32_t subscription, std::string_view topic, Offset first, Offset next,
                         std::uint32_t count, ClosedBy closed_by) {
  std::string out = begin_events("batch", subscription, topic, first, next, count);
  out += R"(,"closed_by":")";
  out += to_string(closed_by);
  out += R"(","events":[)";
  return out;
}

std::string snapshot_prefix(std::uint32_t subscription, std::string_view topic, Offset as_of, std::uint32_t count,
                            bool last) {
  std::string out = R"({"type":"snapshot")";
  put_field(out, "subscription", subscription);
  put_topic(out, topic);
  put_field(out, "as_of", as_of.value());
  put_field(out, "count", count);
  out += last ? R"(,"last":true,"events":[)" : R"(,"last":false,"events":[)";
  return out;
}

std::array<char, sizeof(BinaryHeader)> binary_header(std::uint32_t subscription, Offset first, Offset next,
                                                     std::uint32_t count, WallTime now) {
  const BinaryHeader header{binary_magic, sizeof(BinaryHeader), sizeof(BinaryEntry), subscription,
                            count,        first.value(),        next.value(),        now.ns};
  return std::bit_cast<std::array<char, sizeof(BinaryHeader)>>(header);
}

std::array<char, sizeof(BinaryBatchHeader)> binary_batch_header(std::uint32_t subscription, Offset first, Offset next,
                                                                std::uint32_t count, WallTime now, ClosedBy closed_by) {
  const BinaryHeader common{
      binary_magic, sizeof(BinaryBatchHeader), sizeof(BinaryEntry), subscription, count, first.value(), next.value(),
      now.ns};
  return std::bit_cast<std::array<char, sizeof(BinaryBatchHeader)>>(
      BinaryBatchHeader{common, binary_batch, static_cast<std::uint32_t>(closed_by)});
}

std::array<char, sizeof(BinaryBatchHeader)> binary_snapshot_header(std::uint32_t subscription, Offset as_of,
                                                                   std::uint32_t count, WallTime now, bool last) {
  const BinaryHeader common{
      binary_magic, sizeof(BinaryBatchHeader), sizeof(BinaryEntry), subscription, count, as_of.value(), as_of.value(),
      now.ns};
  return std::bit_cast<std::array<char, sizeof(BinaryBatchHeader)>>(
      BinaryBatchHeader{common, binary_snapshot, last ? 1u : 0u});
}

void append_binary_event(Offset offset, const EventBlock::Entry& entry, FrameView frame, std::string& out,
                         std::uint16_t topic) {
  const BinaryEntry header{offset.value(),
                           entry.record_time.ns,
                           static_cast<std::uint32_t>(entry.publisher.value()),
                           static_cast<std::uint32_t>(entry.epoch.value()),
                           (entry.valid ? 0 : binary_invalid) | static_cast<std::uint32_t>(topic) << 16,
                           entry.frame_size};
  const auto bytes = std::bit_cast<std::array<char, sizeof(BinaryEntry)>>(header);
  out.append(bytes.data(), bytes.size());
  out.append(reinterpret_cast<const char*>(frame.bytes().data()), entry.frame_size);
}

}  // namespace millrace::gateway::protocol
