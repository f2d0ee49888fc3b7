// What GET answers: health, topics, publishers, metrics and the page. Pure: from the hub's state to a response.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "subscribers/realtime/http_range.hpp"
#include "subscribers/realtime/hub.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway {

// GET /v1/topics/{t}/events, the one route that has to read the log: a page of events, or a range of them as a stream.
struct EventsQuery {
  std::size_t topic = 0;
  ReplayStart start;
  std::size_t limit = 0;
};
[[nodiscard]] std::variant<HttpAnswer, EventsQuery, EventsRange> route(Hub& hub, std::string_view target);
[[nodiscard]] HttpAnswer events_answer(const TopicInfo& topic, const Body& body);

}  // namespace millrace::gateway
