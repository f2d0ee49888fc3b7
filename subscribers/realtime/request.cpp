// Requests of WebSocket clients, from JSON.
#include <algorithm>
#include <charconv>

#include "bus/base/limits.hpp"
#include "bus/base/rfc3339.hpp"
#include "subscribers/realtime/request_json.hpp"

namespace millrace::gateway::protocol {

namespace {

constexpr std::size_t depth_max = 8;
constexpr std::size_t filter_value_size_max = 64;

}  // namespace

RequestError bad(ErrorName name, std::string message) {
  return {name, std::move(message), "null"};
}

std::string shown(std::string_view text) {
  std::string out(text.substr(0, 48));
  // A cut inside a UTF-8 character would make the answer invalid text.
  for (char& c : out) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return out;
}

std::optional<std::uint64_t> as_unsigned(const json::value& value) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
  return std::nullopt;
}

std::string_view view(const json::string& text) {
  return {text.data(), text.size()};
}

std::optional<RequestError> check_fields(const json::object& object, std::initializer_list<std::string_view> allowed,
                                         ErrorName name, std::string_view where) {
  for (const auto& field : object) {
    const std::string_view key(field.key().data(), field.key().size());
    bool known = false;
    for (const std::string_view one : allowed) known = known || one == key;
    if (!known) return bad(name, "unknown field '" + shown(key) + "' in " + std::string(where) + "; see PROTOCOL.md");
  }
  return std::nullopt;
}

namespace {
StartOrError parse_start_offset(const json::object& object) {
  if (auto wrong = check_fields(object, {"offset", "log_id", "run"}, ErrorName::bad_start, "'start'")) return *wrong;
  const auto offset = as_unsigned(object.at("offset"));
  if (!offset) return bad(ErrorName::bad_start, "'start.offset' is not a whole number from 0 upward");
  const json::value* log_id = object.if_contains("log_id");
  const json::value* run = object.if_contains("run");
  if (!log_id && !run) return Offset(*offset);
  const auto bytes = log_id && log_id->is_string() ? uuid_bytes_from_hex(view(log_id->get_string())) : std::nullopt;
  const auto number = run ? as_unsigned(*run) : std::nullopt;
  if (!bytes || !number) {
    return bad(ErrorName::bad_start,
               "a position needs 'log_id' (32 hexadecimal digits) and 'run' (a number) as 'subscribed' named them");
  }
  return Position{LogId{*bytes}, Run(*number), Offset(*offset)};
}
}  // namespace

StartOrError parse_start(const json::value& value) {
  if (value.is_string()) {
    if (value.get_string() == "live") return Live{};
    if (value.get_string() == "earliest") return Earliest{};
  }
  if (value.is_object()) {
    const json::object& object = value.get_object();
    if (object.contains("offset")) return parse_start_offset(object);
    if (const json::value* time = object.if_contains("time"); time && object.size() == 1) {
      if (const auto ns = as_unsigned(*time); ns && *ns <= INT64_MAX) return WallTime{static_cast<std::int64_t>(*ns)};
      if (time->is_string()) {
        if (const auto parsed = parse_time(view(time->get_string()))) return *parsed;
      }
      return bad(ErrorName::bad_start, "'start.time' is neither RFC 3339 nor nanoseconds since 1970");
    }
  }
  return bad(ErrorName::bad_start, R"('start' is none of "live", "earliest", {"offset":N} and {"time":T})");
}

std::variant<Filter, RequestError> parse_filter(const json::value& value) {
  Filter filter;
  if (value.is_null()) return filter;
  if (!value.is_object() || value.get_object().size() != 1) {
    return bad(ErrorName::bad_filter, R"('filter' must name one field, as in {"instrument":"X"})");
  }
  const auto& field = *value.get_object().begin();
  filter.field = std::string(field.key().data(), field.key().size());
  const auto take = [&filter](const json::value& one) {
    if (!one.is_string() || one.get_string().empty() || one.get_string().size() > filter_value_size_max) return false;
    filter.values.emplace_back(view(one.get_string()));
    return true;
  };
  bool good = true;
  if (field.value().is_array()) {
    const json::array& values = field.value().get_array();
    good = !values.empty() && values.size() <= filter_values_max;
    for (std::size_t i = 0; good && i < values.size(); ++i) good = take(values[i]);
  } else {
    good = take(field.value());
  }
  if (!good) {
    return bad(ErrorName::bad_filter, "the filter's value must be a text of 1 to " +
                                          std::to_string(filter_value_size_max) + " bytes, or a list of 1 to " +
                                          std::to_string(filter_values_max) + " such");
  }
  return filter;
}

std::optional<RequestError> parse_format(const json::object& object, Encoding& into) {
  const json::value* format = object.if_contains("format");
  if (!format || *format == "json") return std::nullopt;
  if (*format != "binary") return bad(ErrorName::bad_format, R"('format' is neither "json" nor "binary")");
  into = Encoding::binary;
  return std::nullopt;
}

std::optional<RequestError> parse_level(const json::object& object, Level& into) {
  const json::value* level = object.if_contains("level");
  if (!level || *level == "recorded") return std::nullopt;
  if (*level != "synced") return bad(ErrorName::bad_level, R"('level' is neither "recorded" nor "synced")");
  into = Level::synced;
  return std::nullopt;
}

namespace {

// Whether the bound is within its limits, and fits the topic, is the session's to say.
std::optional<RequestError> parse_slow(const json::object& object, Subscribe& subscribe) {
  if (const json::value* slow = object.if_contains("slow")) {
    const auto known = slow->is_string() ? std::find(slow_names.begin(), slow_names.end(), view(slow->get_string()))
                                         : slow_names.end();
    if (known == slow_names.end()) {
      return bad(ErrorName::bad_slow, R"('slow' is none of "heal", "conflate" and "disconnect")");
    }
    subscribe.slow = static_cast<SlowPolicy::Kind>(known - slow_names.begin());
  }
  if (const json::value* queue = object.if_contains("queue")) {
    subscribe.queue = as_unsigned(*queue);
    if (!subscribe.queue || *subscribe.queue == 0) {
      return bad(ErrorName::bad_slow, "'queue' is not a whole number from 1 upward");
    }
    if (subscribe.slow == SlowPolicy::Kind::heal) {
      return bad(ErrorName::bad_slow, R"('queue' goes with "conflate" or "disconnect": "heal" has no bound)");
    }
  }
  return std::nullopt;
}

std::optional<RequestError> parse_batch(const json::object& object, Subscribe& subscribe) {
  if (const json::value* mode = object.if_contains("mode")) {
    if (*mode == "batched") {
      subscribe.batch.emplace();
    } else if (*mode != "stream") {
      return bad(ErrorName::bad_mode, R"('mode' is neither "stream" nor "batched")");
    }
  }
  const json::value* batch = object.if_contains("batch");
  if (!batch) return std::nullopt;
  if (!subscribe.batch) return bad(ErrorName::bad_mode, R"('batch' goes with "mode":"batched")");
  if (!batch->is_object()) return bad(ErrorName::bad_mode, "'batch' is an object of 'age_ms', 'count' and 'bytes'");
  const json::object& bounds = batch->get_object();
  if (auto wrong = check_fields(bounds, {"age_ms", "count", "bytes"}, ErrorName::bad_mode, "'batch'")) return wrong;
  // The bound of that name, which may be left out.
  std::optional<RequestError> wrong;
  const auto bound = [&](std::string_view name, std::uint64_t least, std::uint64_t most, std::uint64_t otherwise) {
    const json::value* value = bounds.if_contains(name);
    if (!value) return otherwise;
    const auto number = as_unsigned(*value);
    if (number && *number >= least && *number <= most) return *number;
    wrong = bad(ErrorName::bad_mode, "'batch." + std::string(name) + "' is not a whole number from " +
                                         std::to_string(least) + " to " + std::to_string(most));
    return otherwise;
  };
  using std::chrono::milliseconds;
  const BatchBounds defaults;
  subscribe.batch->age = milliseconds(bound("age_ms", 1, static_cast<std::uint64_t>(batch_age_max / milliseconds(1)),
                                            static_cast<std::uint64_t>(defaults.age / milliseconds(1))));
  subscribe.batch->count = static_cast<std::uint32_t>(bound("count", 1, batch_count_max, defaults.count));
  subscribe.batch->bytes = bound("bytes", batch_bytes_min, batch_bytes_max, defaults.bytes);
  return wrong;
}

// After parse_slow() and parse_level().
std::optional<RequestError> parse_consumer(const json::object& object, Subscribe& subscribe) {
  const json::value* take_over = object.if_contains("take_over");
  if (take_over && !take_over->is_bool()) return bad(ErrorName::bad_consumer, "'take_over' is neither true nor false");
  const json::value* consumer = object.if_contains("consumer");
  if (!consumer) {
    if (!take_over) return std::nullopt;
    return bad(ErrorName::bad_consumer, "'take_over' goes with 'consumer', the name that is to be taken over");
  }
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  };
  if (consumer->is_string()) subscribe.consumer = view(consumer->get_string());
  if (subscribe.consumer.empty() || subscribe.consumer.size() > limits::consumer_name_size_max ||
      !std::all_of(subscribe.consumer.begin(), subscribe.consumer.end(), fits)) {
    return bad(ErrorName::bad_consumer, "'consumer' is not a text of 1 to " +
                                            std::to_string(limits::consumer_name_size_max) + " of a-z 0-9 _ . -");
  }
  if (object.contains("level") && subscribe.level != Level::synced) {
    return bad(ErrorName::bad_level, R"(a durable consumer is at level "synced": leave 'level' out, or say that)");
  }
  if (subscribe.slow != SlowPolicy::Kind::heal) {
    return bad(ErrorName::bad_slow, R"(a durable consumer misses nothing: 'slow' is "heal" with 'consumer')");
  }
  subscribe.level = Level::synced;
  subscribe.take_over = take_over && take_over->get_bool();
  return std::nullopt;
}

WhatOrError parse_subscribe(const json::object& object) {
  if (auto wrong = check_fields(object,
                                {"op", "id", "topic", "start", "filter", "format", "level", "slow", "queue",
                                 "on_deleted", "consumer", "take_over", "mode", "batch", "snapshot"},
                                ErrorName::bad_request, "'subscribe'")) {
    return *wrong;
  }
  Subscribe subscribe;
  const json::value* topic = object.if_contains("topic");
  if (!topic || !topic->is_string()) return bad(ErrorName::bad_request, "'subscribe' needs 'topic', a text");
  subscribe.topic = view(topic->get_string());
  if (const json::value* start = object.if_contains("start")) {
    auto parsed = parse_start(*start);
    if (auto* wrong = std::get_if<RequestError>(&parsed)) return std::move(*wrong);
    subscribe.start = std::get<Start>(parsed);
  }
  if (const json::value* filter = object.if_contains("filter")) {
    auto parsed = parse_filter(*filter);
    if (auto* wrong = std::get_if<RequestError>(&parsed)) return std::move(*wrong);
    subscribe.filter = std::move(std::get<Filter>(parsed));
  }
  if (auto wrong = parse_format(object, subscribe.encoding)) return std::move(*wrong);
  if (auto wrong = parse_slow(object, subscribe)) return std::move(*wrong);
  if (auto wrong = parse_batch(object, subscribe)) return std::move(*wrong);
  if (auto wrong = parse_level(object, subscribe.level)) return std::move(*wrong);
  if (auto wrong = parse_consumer(object, subscribe)) return std::move(*wrong);
  if (const json::value* snapshot = object.if_contains("snapshot")) {
    if (!snapshot->is_bool()) return bad(ErrorName::bad_snapshot, "'snapshot' is neither true nor false");
    subscribe.snapshot = snapshot->get_bool();
  }
  if (const json::value* on_deleted = object.if_contains("on_deleted")) {
    if (*on_deleted == "skip") {
      subscribe.skip_deleted = true;
    } else if (*on_deleted != "error") {
      return bad(ErrorName::bad_on_deleted, R"('on_deleted' is neither "error" nor "skip")");
    }
  }
  return subscribe;
}

// Of an op that is about one subscription, and may have a number more.
template <class Op>
WhatOrError parse_about(const json::object& object, std::string_view op) {
  constexpr bool is_ack = std::is_same_v<Op, Ack>;
  const std::string quoted = "'" + std::string(op) + "'";
  auto wrong = is_ack
                   ? check_fields(object, {"op", "id", "subscription", "next_offset"}, ErrorName::bad_request, quoted)
                   : check_fields(object, {"op", "id", "subscription"}, ErrorName::bad_request, quoted);
  if (wrong) return std::move(*wrong);
  const json::value* subscription = object.if_contains("subscription");
  const auto number = subscription ? as_unsigned(*subscription) : std::nullopt;
  if (!number || *number > UINT32_MAX) {
    return bad(ErrorName::bad_request, quoted + " needs 'subscription', the number that 'subscribed' gave");
  }
  if constexpr (is_ack) {
    const json::value* next = object.if_contains("next_offset");
    const auto offset = next ? as_unsigned(*next) : std::nullopt;
    if (!offset) return bad(ErrorName::bad_request, "'ack' needs 'next_offset': all before it is dealt with");
    return Ack{static_cast<std::uint32_t>(*number), Offset(*offset)};
  } else {
    return Op{static_cast<std::uint32_t>(*number)};
  }
}

WhatOrError parse_what(const json::object& object) {
  const json::value* op = object.if_contains("op");
  if (!op || !op->is_string()) return bad(ErrorName::bad_request, "a request needs 'op', a text");
  const std::string_view name = view(op->get_string());
  if (name == "subscribe") return parse_subscribe(object);
  if (name == "unsubscribe") return parse_about<Unsubscribe>(object, name);
  if (name == "books") return parse_about<AskBooks>(object, name);
  if (name == "ack") return parse_about<Ack>(object, name);
  if (name == "replay") return parse_replay(object);
  if (name == "pause") return parse_steer(object, Steer::What::pause, name);
  if (name == "resume") return parse_steer(object, Steer::What::resume, name);
  if (name == "step") return parse_steer(object, Steer::What::step, name);
  if (name == "speed") return parse_steer(object, Steer::What::speed, name);
  if (name == "seek") return parse_steer(object, Steer::What::seek, name);
  if (name == "ping") {
    if (auto wrong = check_fields(object, {"op", "id"}, ErrorName::bad_request, "'ping'")) return *wrong;
    return Ping{};
  }
  return bad(ErrorName::unknown_op, "unknown op '" + shown(name) +
                                        "'; there are subscribe, unsubscribe, books, ack, replay, pause, resume, step, "
                                        "speed, seek and ping");
}

}  // namespace

std::variant<Request, RequestError> parse_request(std::string_view text) {
  json::parse_options options;
  options.max_depth = depth_max;
  json::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed, {}, options);
  if (failed) return bad(ErrorName::bad_json, "the request is not JSON: " + failed.message());
  if (!value.is_object()) return bad(ErrorName::bad_request, "a request is a JSON object");
  const json::object& object = value.get_object();

  Request request;
  if (const json::value* id = object.if_contains("id")) {
    const bool text_id = id->is_string() && id->get_string().size() <= 64;
    if (!text_id && !id->is_int64() && !id->is_uint64()) {
      return bad(ErrorName::bad_request, "'id' is neither a whole number nor a text of at most 64 bytes");
    }
    request.id = json::serialize(*id);
  }
  auto what = parse_what(object);
  if (auto* wrong = std::get_if<RequestError>(&what)) {
    wrong->id = request.id;
    return std::move(*wrong);
  }
  std::visit(
      [&request](auto&& one) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(one)>, RequestError>) request.what = std::move(one);
      },
      std::move(what));
  return request;
}

}  // namespace millrace::gateway::protocol
