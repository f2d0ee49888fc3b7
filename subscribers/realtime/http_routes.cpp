#include "subscribers/realtime/http_routes.hpp"

#include "schemas/json_text.hpp"
#include "subscribers/realtime/page.hpp"

namespace millrace::gateway {

namespace {

using protocol::ErrorName;
using schemas::append_json_string;

constexpr std::size_t events_limit = 100;
constexpr std::size_t events_limit_max = 1000;

void field(std::string& out, std::string_view name, std::string_view text) {
  out += ",\"";
  out += name;
  out += "\":";
  append_json_string(text, out);
}
void field(std::string& out, std::string_view name, std::uint64_t number) {
  out += ",\"";
  out += name;
  out += "\":" + std::to_string(number);
}

HttpAnswer health_answer(const Hub& hub) {
  const Health health = hub.health();
  std::string out = health.ok() ? R"({"status":"ok","reasons":[)" : R"({"status":"unhealthy","reasons":[)";
  for (std::size_t i = 0; i < health.reasons.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(health.reasons[i], out);
  }
  out += ']';
  field(out, "sessions", hub.sessions);
  field(out, "core", to_string(health.core));
  field(out, "feeder_silent_ms", static_cast<std::uint64_t>(hub.feeder_silence() / std::chrono::milliseconds(1)));
  out += ",\"topics\":[";
  for (const Topic& topic : hub.topics) {
    if (out.back() != '[') out += ',';
    out += "{\"name\":";
    append_json_string(topic.info.name, out);
    field(out, "state", to_string(topic.info.state));
    field(out, "reason", topic.info.reason);
    field(out, "recorded_end", topic.info.recorded_end.value());
    field(out, "next_offset", topic.cache.next().value());
    field(out, "lag", topic.lag());
    field(out, "subscriptions", topic.subscriptions());
    out += '}';
  }
  out += "]}\n";
  return {health.ok() ? 200u : 503u, "application/json", std::move(out)};
}

HttpAnswer topics_answer(const Hub& hub) {
  std::string out = "[";
  for (const Topic& topic : hub.topics) {
    if (out.size() > 1) out += ',';
    out += "{\"name\":";
    append_json_string(topic.info.name, out);
    field(out, "event_type", topic.info.type->name());
    field(out, "key_field", topic.info.type->key_field());
    out += ",\"filterable\":[";
    for (const std::string& name : topic.info.type->filterable()) {
      if (out.back() != '[') out += ',';
      append_json_string(name, out);
    }
    out += ']';
    field(out, "first_offset", topic.info.first.value());
    field(out, "next_offset", topic.cache.next().value());
    field(out, "cached_from", topic.cache.first().value());
    field(out, "log_id", to_hex(topic.info.log_id.bytes));
    field(out, "run", topic.info.run.value());
    field(out, "subscriptions", topic.subscriptions());
    out += '}';
  }
  out += "]\n";
  return {200, "application/json", std::move(out)};
}

HttpAnswer publishers_answer(const Hub& hub) {
  std::string out = "[";
  for (const Topic& topic : hub.topics) {
    for (const PublisherInfo& publisher : topic.publishers) {
      if (out.size() > 1) out += ',';
      out += "{\"topic\":";
      append_json_string(topic.info.name, out);
      field(out, "name", publisher.name);
      field(out, "id", publisher.id.value());
      field(out, "epoch", publisher.epoch.value());
      field(out, "state", to_string(publisher.state));
      field(out, "last_sequence", publisher.last.value());
      out += '}';
    }
  }
  out += "]\n";
  return {200, "application/json", std::move(out)};
}

void gauge(std::string& out, std::string_view name, std::string_view type) {
  out += "# TYPE millrace_gateway_";
  out += name;
  out += ' ';
  out += type;
  out += '\n';
}
void sample(std::string& out, std::string_view name, std::string_view labels, std::uint64_t value) {
  out += "millrace_gateway_";
  out += name;
  out += labels;
  out += ' ' + std::to_string(value) + '\n';
}

HttpAnswer metrics_answer(const Hub& hub) {
  std::string out;
  for (std::size_t i = 0; i < counter_names.size(); ++i) {
    const std::string name = std::string(counter_names[i]) + "_total";
    gauge(out, name, "counter");
    sample(out, name, "", hub.counters.get(static_cast<Counter>(i)));
  }
  // What became of all subscriptions' offsets: the books, whose first five balance. And of these what clients missed.
  gauge(out, "subscription_events_total", "counter");
  Books all;
  for (std::size_t kind = 0; kind < hub.books.size(); ++kind) {
    all += hub.books[kind];
    for (const auto& [name, count] : book_entries) {
      sample(out, "subscription_events_total",
             "{slow=\"" + std::string(protocol::slow_names[kind]) + "\",outcome=\"" + std::string(name) + "\"}",
             hub.books[kind].*count);
    }
  }
  gauge(out, "events_lost_total", "counter");
  sample(out, "events_lost_total", "{reason=\"conflated\"}", all.conflated);
  sample(out, "events_lost_total", "{reason=\"deleted\"}", all.skipped);
  sample(out, "events_lost_total", "{reason=\"not_recorded\"}", all.not_recorded);
  gauge(out, "sessions", "gauge");
  sample(out, "sessions", "", hub.sessions);
  gauge(out, "connections", "gauge");
  sample(out, "connections", "", hub.connections.size());
  gauge(out, "healthy", "gauge");
  sample(out, "healthy", "", hub.health().ok() ? 1 : 0);
  const auto by_topic = [&](std::string_view name, auto value) {
    gauge(out, name, "gauge");
    // Topic names are of [a-z0-9_.-]: nothing to escape.
    for (const Topic& topic : hub.topics) sample(out, name, "{topic=\"" + topic.info.name + "\"}", value(topic));
  };
  by_topic("topic_next_offset", [](const Topic& topic) { return topic.cache.next().value(); });
  by_topic("topic_lag", [](const Topic& topic) { return topic.lag(); });
  by_topic("topic_subscriptions", [](const Topic& topic) { return topic.subscriptions(); });
  by_topic("topic_cache_bytes", [](const Topic& topic) { return topic.cache.bytes(); });
  by_topic("topic_cache_events", [](const Topic& topic) { return topic.cache.events(); });
  return {200, "text/plain; version=0.0.4", std::move(out)};
}

std::variant<HttpAnswer, EventsQuery, EventsRange> events_query(Hub& hub, std::string_view name,
                                                                std::string_view query) {
  const Topic* topic = hub.find(name);
  if (!topic) return http_error(404, ErrorName::unknown_topic, "there is no such topic; GET /v1/topics lists them");
  if (asks_for_range(query)) {
    auto range = parse_range(hub, *topic, query);
    if (auto* wrong = std::get_if<HttpAnswer>(&range)) return std::move(*wrong);
    return std::get<EventsRange>(std::move(range));
  }
  EventsQuery wanted{hub.index_of(*topic), Earliest{}, events_limit};
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string_view key = part.substr(0, equals);
    const auto value = number_of(part.substr(std::min(part.size(), equals + 1)));
    if (key == "from" && value) {
      if (Offset(*value) > topic->cache.next()) {
        return http_error(400, ErrorName::offset_ahead,
                          "the topic's next offset is " + std::to_string(topic->cache.next().value()));
      }
      wanted.start = Offset(*value);
    } else if (key == "limit" && value && *value >= 1 && *value <= events_limit_max) {
      wanted.limit = *value;
    } else {
      return http_error(
          400, ErrorName::bad_parameter,
          "the parameters of a page are from=OFFSET (default: the oldest) and limit=1..1000 (default 100); "
          "those of a range begin with format=ndjson, csv or flatbuffers");
    }
  }
  return wanted;
}

}  // namespace

HttpAnswer http_error(unsigned status, ErrorName name, std::string_view message) {
  std::string out = R"({"code":")";
  out += protocol::to_string(name);
  out += R"(","message":)";
  append_json_string(message, out);
  out += "}\n";
  return {status, "application/json", std::move(out)};
}

std::variant<HttpAnswer, EventsQuery, EventsRange> route(Hub& hub, std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query = target.substr(std::min(target.size(), path.size() + 1));
  if (path == "/health") return health_answer(hub);
  if (path == "/metrics") return metrics_answer(hub);
  if (path == "/v1/topics") return topics_answer(hub);
  if (path == "/v1/publishers") return publishers_answer(hub);
  if (path == "/v1/ws") return http_error(426, ErrorName::bad_http, "this is a WebSocket: send an upgrade");
  for (const PageFile& file : page_files()) {
    if (path == file.path) return HttpAnswer{200, file.content_type, std::string(file.text)};
  }
  constexpr std::string_view prefix = "/v1/topics/";
  constexpr std::string_view suffix = "/events";
  if (path.starts_with(prefix) && path.ends_with(suffix) && path.size() > prefix.size() + suffix.size()) {
    return events_query(hub, path.substr(prefix.size(), path.size() - prefix.size() - suffix.size()), query);
  }
  return http_error(404, ErrorName::not_found, "there is nothing here; PROTOCOL.md lists the paths");
}

HttpAnswer events_answer(const TopicInfo& topic, const Body& body) {
  std::string out = "{\"topic\":";
  append_json_string(topic.name, out);
  field(out, "first_offset", body.first.value());
  field(out, "next_offset", body.next.value());
  field(out, "count", body.count);
  out += ",\"events\":[";
  out += body.bytes;
  out += "]}\n";
  return {200, "application/json", std::move(out)};
}

}  // namespace millrace::gateway
