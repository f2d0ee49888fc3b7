// What GET answers: health, topics, publishers, metrics and the page. Pure: from the hub's state to a response.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "subscribers/realtime/hub.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

struct HttpAnswer {
  unsigned status = 200;
  std::string_view content_type = "application/json";
  std::string body;
};
[[nodiscard]] HttpAnswer http_error(unsigned status, protocol::ErrorName name, std::string_view message);

// GET /v1/topics/{t}/events: the one route that may have to read the log.
struct EventsQuery {
  std::size_t topic = 0;
  ReplayStart start;
  std::size_t limit = 0;
};
[[nodiscard]] std::variant<HttpAnswer, EventsQuery> route(Hub& hub, std::string_view target);
[[nodiscard]] HttpAnswer events_answer(const TopicInfo& topic, const Body& body);

}  // namespace millrace::gateway
