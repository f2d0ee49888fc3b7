// Requests of WebSocket clients about replays, from JSON.
#include <algorithm>
#include <charconv>

#include "subscribers/realtime/request_json.hpp"

namespace millrace::gateway::protocol {

namespace {

constexpr std::size_t replay_topics_max = 8;

std::optional<RequestError> parse_speed(const json::value& value, historical::Speed& into) {
  std::string text;
  if (value.is_string()) {
    text = view(value.get_string());
  } else if (value.is_double()) {  // in figures: as JSON it may be 5E-1
    char digits[32];
    const auto written =
        std::to_chars(std::begin(digits), std::end(digits), value.get_double(), std::chars_format::fixed);
    if (written.ec == std::errc{}) text.assign(digits, written.ptr);
  } else if (value.is_number()) {
    text = json::serialize(value);
  }
  const auto speed = historical::parse_speed(text);
  if (!speed) return bad(ErrorName::bad_speed, R"('speed' is neither "max" nor a factor from 0.001 to 1000000)");
  into = *speed;
  return std::nullopt;
}

// A start, but for those that a replay cannot have.
std::optional<RequestError> parse_place(const json::value& value, std::string_view name, ReplayStart& into) {
  auto parsed = parse_start(value);
  if (const auto* start = std::get_if<Start>(&parsed)) {
    if (const auto* offset = std::get_if<Offset>(start)) return into = *offset, std::nullopt;
    if (const auto* time = std::get_if<WallTime>(start)) return into = *time, std::nullopt;
    if (std::holds_alternative<Earliest>(*start)) return into = Earliest{}, std::nullopt;
  }
  return bad(ErrorName::bad_start, "'" + std::string(name) + R"(' is none of "earliest", {"offset":N} and {"time":T})");
}

std::optional<RequestError> parse_flag(const json::object& object, std::string_view name, bool& into) {
  const json::value* flag = object.if_contains(name);
  if (!flag) return std::nullopt;
  if (!flag->is_bool()) return bad(ErrorName::bad_request, "'" + std::string(name) + "' is neither true nor false");
  into = flag->get_bool();
  return std::nullopt;
}

// {"offsets":[17,40]}: as next_offsets named them.
std::optional<RequestError> parse_offsets(const json::object& from, StartReplay& replay) {
  if (auto wrong = check_fields(from, {"offsets"}, ErrorName::bad_start, "'from'")) return wrong;
  const json::value& list = from.at("offsets");
  bool good = list.is_array() && list.get_array().size() == replay.topics.size();
  for (std::size_t i = 0; good && i < replay.topics.size(); ++i) {
    const auto offset = as_unsigned(list.get_array()[i]);
    good = offset.has_value();
    if (good) replay.offsets.emplace_back(*offset);
  }
  if (good) return std::nullopt;
  return bad(ErrorName::bad_start, "'from.offsets' is not a list of offsets, one for each of 'topics'");
}

}  // namespace

WhatOrError parse_replay(const json::object& object) {
  if (auto wrong = check_fields(
          object, {"op", "id", "topics", "from", "to", "speed", "filter", "format", "level", "paused", "follow"},
          ErrorName::bad_request, "'replay'")) {
    return *wrong;
  }
  StartReplay replay;
  const json::value* topics = object.if_contains("topics");
  bool good =
      topics && topics->is_array() && !topics->get_array().empty() && topics->get_array().size() <= replay_topics_max;
  for (std::size_t i = 0; good && i < topics->get_array().size(); ++i) {
    const json::value& one = topics->get_array()[i];
    good = one.is_string() &&
           std::find(replay.topics.begin(), replay.topics.end(), view(one.get_string())) == replay.topics.end();
    if (good) replay.topics.emplace_back(view(one.get_string()));
  }
  if (!good) return bad(ErrorName::bad_request, "'replay' needs 'topics', a list of 1 to 8 different names");
  if (const json::value* from = object.if_contains("from")) {
    const bool of_each = from->is_object() && from->get_object().contains("offsets");
    if (auto wrong = of_each ? parse_offsets(from->get_object(), replay) : parse_place(*from, "from", replay.from)) {
      return std::move(*wrong);
    }
  }
  if (const json::value* to = object.if_contains("to")) {
    ReplayStart place;
    if (auto wrong = parse_place(*to, "to", place)) return std::move(*wrong);
    if (const auto* offset = std::get_if<Offset>(&place)) replay.to = *offset;
    if (const auto* time = std::get_if<WallTime>(&place)) replay.to = *time;
    if (!replay.to) return bad(ErrorName::bad_start, R"('to' is neither {"offset":N} nor {"time":T})");
  }
  const bool offsets =
      std::holds_alternative<Offset>(replay.from) || (replay.to && std::holds_alternative<Offset>(*replay.to));
  if (offsets && replay.topics.size() > 1) {
    return bad(ErrorName::bad_start,
               R"(several topics have no offset in common: 'from' is a time or {"offsets":[N,N]}, and 'to' a time)");
  }
  const auto reversed = [](const auto* from, const auto* to) { return from && to && *to < *from; };
  if (replay.to && (reversed(std::get_if<Offset>(&replay.from), std::get_if<Offset>(&*replay.to)) ||
                    reversed(std::get_if<WallTime>(&replay.from), std::get_if<WallTime>(&*replay.to)))) {
    return bad(ErrorName::bad_start, "the range is reversed: 'to' lies before 'from'");
  }
  if (const json::value* filter = object.if_contains("filter")) {
    auto parsed = parse_filter(*filter);
    if (auto* wrong = std::get_if<RequestError>(&parsed)) return std::move(*wrong);
    replay.filter = std::move(std::get<Filter>(parsed));
  }
  if (auto wrong = parse_format(object, replay.encoding)) return std::move(*wrong);
  if (auto wrong = parse_level(object, replay.level)) return std::move(*wrong);
  if (const json::value* speed = object.if_contains("speed")) {
    if (auto wrong = parse_speed(*speed, replay.speed)) return std::move(*wrong);
  }
  if (auto wrong = parse_flag(object, "paused", replay.paused)) return std::move(*wrong);
  if (auto wrong = parse_flag(object, "follow", replay.follow)) return std::move(*wrong);
  if (replay.follow && replay.to) return bad(ErrorName::bad_start, "'to' ends what 'follow' lets go on: leave one out");
  return replay;
}

WhatOrError parse_steer(const json::object& object, Steer::What what, std::string_view op) {
  const std::string quoted = "'" + std::string(op) + "'";
  Steer steer;
  steer.what = what;
  const std::string_view more = what == Steer::What::step    ? "count"
                                : what == Steer::What::speed ? "speed"
                                : what == Steer::What::seek  ? "to"
                                                             : "op";
  if (auto wrong = check_fields(object, {"op", "id", "subscription", more}, ErrorName::bad_request, quoted)) {
    return *wrong;
  }
  const json::value* subscription = object.if_contains("subscription");
  const auto number = subscription ? as_unsigned(*subscription) : std::nullopt;
  if (!number || *number > UINT32_MAX) {
    return bad(ErrorName::bad_request, quoted + " needs 'subscription', the number that 'replaying' gave");
  }
  steer.subscription = static_cast<std::uint32_t>(*number);
  const json::value* value = object.if_contains(more);
  if (what == Steer::What::step && value) {
    const auto count = as_unsigned(*value);
    if (!count || *count == 0 || *count > UINT32_MAX) {
      return bad(ErrorName::bad_request, "'count' is not a whole number from 1 upward");
    }
    steer.count = *count;
  } else if (what == Steer::What::speed) {
    if (auto wrong = parse_speed(value ? *value : json::value(), steer.speed)) return std::move(*wrong);
  } else if (what == Steer::What::seek) {
    if (auto wrong = parse_place(value ? *value : json::value(), "to", steer.to)) return std::move(*wrong);
  }
  return steer;
}

}  // namespace millrace::gateway::protocol
