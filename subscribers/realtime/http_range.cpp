#include "subscribers/realtime/http_range.hpp"

#include <charconv>

#include "bus/base/rfc3339.hpp"
#include "subscribers/realtime/request_json.hpp"

namespace millrace::gateway {

namespace {

using protocol::Encoding;
using protocol::ErrorName;

constexpr std::string_view place_forms =
    " is neither an offset nor a time: RFC 3339 as in 2026-03-02T09:30:00Z, or nanoseconds since 1970 as in "
    "1772443800000000000ns";

// %41 is A. A '+' stays one: times have them.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const char* const digits = text.data() + i + 1;
    if (text.size() - i < 3) return std::nullopt;
    const auto [end, error] = std::from_chars(digits, digits + 2, value, 16);
    if (error != std::errc{} || end != digits + 2) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

using Place = std::variant<Offset, WallTime>;

std::optional<Place> place(std::string_view text) {
  if (const auto offset = number_of(text)) return Offset(*offset);
  if (text.ends_with("ns")) {
    const auto ns = number_of(text.substr(0, text.size() - 2));
    if (!ns || *ns > INT64_MAX) return std::nullopt;
    return WallTime{static_cast<std::int64_t>(*ns)};
  }
  if (const auto time = parse_time(text)) return *time;
  return std::nullopt;
}

struct Parameters {
  std::optional<Place> from;
  std::optional<Place> to;
  std::string format;
  protocol::Filter filter;
  Level level = Level::recorded;
  std::uint64_t count = UINT64_MAX;
};

HttpAnswer bad(std::string_view message) {
  return http_error(400, ErrorName::bad_parameter, message);
}

std::optional<HttpAnswer> take_filter(std::string_view value, protocol::Filter& filter) {
  const std::size_t colon = value.find(':');
  const std::string_view field = value.substr(0, std::min(colon, value.size()));
  if (colon == std::string_view::npos || field.empty() || colon + 1 == value.size()) {
    return http_error(400, ErrorName::bad_filter, "'filter' is FIELD:VALUE, as in filter=instrument:600519");
  }
  if (!filter.field.empty() && filter.field != field) {
    return http_error(400, ErrorName::bad_filter, "a filter is of one field; several values of it may be given");
  }
  if (filter.values.size() == protocol::filter_values_max) {
    return http_error(400, ErrorName::bad_filter,
                      "a filter has at most " + std::to_string(protocol::filter_values_max) + " values");
  }
  filter.field = field;
  filter.values.emplace_back(value.substr(colon + 1));
  return std::nullopt;
}

std::optional<HttpAnswer> take(std::string_view key, std::string_view value, Parameters& into) {
  if (key == "from" || key == "to") {
    const auto found = place(value);
    if (!found) return bad("'" + std::string(key) + "'" + std::string(place_forms));
    (key == "from" ? into.from : into.to) = found;
  } else if (key == "format") {
    into.format = value;
  } else if (key == "filter") {
    return take_filter(value, into.filter);
  } else if (key == "limit") {
    const auto count = number_of(value);
    if (!count || *count == 0) return bad("'limit' is not a whole number from 1 upward");
    into.count = *count;
  } else if (key == "level") {
    if (value != "recorded" && value != "synced") return bad("'level' is neither recorded nor synced");
    into.level = value == "synced" ? Level::synced : Level::recorded;
  } else {
    return bad("the parameters of a range are format, from, to, filter, limit and level");
  }
  return std::nullopt;
}

std::string shown(Offset offset) {
  return std::to_string(offset.value());
}
std::string shown(WallTime time) {
  std::string out;
  append_rfc3339(time, out);
  return out;
}

template <class Point>
std::optional<HttpAnswer> reversed(const std::optional<Place>& from, const std::optional<Place>& to) {
  const auto* first = from ? std::get_if<Point>(&*from) : nullptr;
  const auto* end = to ? std::get_if<Point>(&*to) : nullptr;
  if (!first || !end || *first <= *end) return std::nullopt;
  return http_error(400, ErrorName::bad_range,
                    "the range is reversed: 'to' (" + shown(*end) + ") lies before 'from' (" + shown(*first) +
                        "); it is from the one up to, not including, the other");
}

}  // namespace

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

bool asks_for_range(std::string_view query) {
  return query.starts_with("format=") || query.find("&format=") != std::string_view::npos;
}

std::variant<HttpAnswer, EventsRange> parse_range(const Hub& hub, const Topic& topic, std::string_view query) {
  Parameters wanted;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    const std::size_t equals = std::min(part.find('='), part.size());
    const auto value = percent_decoded(part.substr(std::min(part.size(), equals + 1)));
    if (!value) return bad("a '%' of the query is not followed by two hexadecimal digits");
    if (auto wrong = take(part.substr(0, equals), *value, wanted)) return std::move(*wrong);
  }
  EventsRange range;
  range.topic = hub.index_of(topic);
  range.view.level = wanted.level;
  range.count = wanted.count;
  if (wanted.format == "ndjson") {
    range.view.encoding = Encoding::lines;
  } else if (wanted.format == "csv") {
    range.view.encoding = Encoding::csv;
    range.view.columns = std::make_shared<const schemas::FlatType>(*topic.info.type);
  } else if (wanted.format == "flatbuffers") {
    range.view.encoding = Encoding::binary;
  } else {
    return http_error(400, ErrorName::bad_format, "'format' is none of ndjson, csv and flatbuffers");
  }
  if (auto wrong = fit(wanted.filter, *topic.info.type)) {
    return http_error(400, ErrorName::bad_filter, "'" + protocol::shown(wanted.filter.field) + "': " + *wrong);
  }
  range.view.filter = std::make_shared<const protocol::Filter>(std::move(wanted.filter));
  if (auto wrong = reversed<Offset>(wanted.from, wanted.to)) return std::move(*wrong);
  if (auto wrong = reversed<WallTime>(wanted.from, wanted.to)) return std::move(*wrong);

  range.end = topic.head(wanted.level);
  const auto ahead = [&](std::string_view what, Offset asked) {
    return http_error(416, ErrorName::offset_ahead,
                      "'" + std::string(what) + "' (" + shown(asked) + ") is beyond the topic's next offset, " +
                          shown(range.end) + "; without 'to' a range ends there");
  };
  if (wanted.from) {
    if (const auto* offset = std::get_if<Offset>(&*wanted.from)) {
      if (*offset > range.end) return ahead("from", *offset);
      range.from = *offset;
    } else {
      const WallTime time = std::get<WallTime>(*wanted.from);
      if (time > hub.clock.wall()) {
        return http_error(416, ErrorName::offset_ahead, "'from' (" + shown(time) + ") has not come yet");
      }
      range.from = time;
    }
  }
  if (wanted.to) {
    range.end_asked = true;
    if (const auto* offset = std::get_if<Offset>(&*wanted.to)) {
      if (*offset > range.end) return ahead("to", *offset);
      range.end = *offset;
    } else {
      range.to = std::get<WallTime>(*wanted.to);
    }
  }
  return range;
}

}  // namespace millrace::gateway
