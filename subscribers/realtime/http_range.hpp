// What a GET of a range of events asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "subscribers/realtime/gather.hpp"
#include "subscribers/realtime/hub.hpp"

namespace millrace::gateway {

struct HttpAnswer {
  unsigned status = 200;
  std::string_view content_type = "application/json";
  std::string body;
};
[[nodiscard]] HttpAnswer http_error(unsigned status, protocol::ErrorName name, std::string_view message);

// Of a topic's events: from the first that `from` names up to, not including, the end.
struct EventsRange {
  std::size_t topic = 0;
  ReplayStart from;
  Offset end;                        // at most what there was when it was asked for
  bool end_asked = false;            // by `to`, not what there was
  std::optional<WallTime> to;        // the first event recorded then or later is not in it
  View view;                         // lines, csv or binary
  std::uint64_t count = UINT64_MAX;  // of events that pass the filter
};

// A number of a query: of digits and nothing else.
[[nodiscard]] std::optional<std::uint64_t> number_of(std::string_view text);
// Whether a query of /v1/topics/{t}/events means a range, not a page.
[[nodiscard]] bool asks_for_range(std::string_view query);
[[nodiscard]] std::variant<HttpAnswer, EventsRange> parse_range(const Hub& hub, const Topic& topic,
                                                                std::string_view query);

}  // namespace millrace::gateway
