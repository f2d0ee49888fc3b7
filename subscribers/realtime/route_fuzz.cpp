// Takes any text as the target of an HTTP GET: it is answered by what its content type says, or is a query of a topic's
// events within the limits of PROTOCOL.md.
#include <boost/json.hpp>
#include <cstdint>
#include <string_view>

#include "bus/base/assert.hpp"
#include "subscribers/realtime/http_routes.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace {

using namespace millrace;
using namespace millrace::gateway;

struct World {
  testing::MemorySource source{{"trade_events", "market_l2"}};
  GatewayOptions options;
  ManualClock clock;
  asio::io_context io;
  Hub hub{io, source, options, clock, take_snapshot(source, clock.monotonic())};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  const auto routed = route(world.hub, {reinterpret_cast<const char*>(data), size});
  if (const auto* query = std::get_if<EventsQuery>(&routed)) {
    MILLRACE_ASSERT(query->topic < world.hub.topics.size(), "the topic exists");
    MILLRACE_ASSERT(query->limit >= 1 && query->limit <= 1000, "a query is bounded");
    const auto* from = std::get_if<Offset>(&query->start);
    MILLRACE_ASSERT(!from || *from <= world.hub.topics[query->topic].cache.next(), "and begins where there is a log");
    return 0;
  }
  if (const auto* range = std::get_if<EventsRange>(&routed)) {
    MILLRACE_ASSERT(range->topic < world.hub.topics.size(), "the topic exists");
    MILLRACE_ASSERT(range->end <= world.hub.topics[range->topic].cache.next(), "a range ends where the log does");
    MILLRACE_ASSERT(range->count >= 1 && range->view.filter->values.size() <= 64, "it is bounded");
    MILLRACE_ASSERT((range->view.encoding == protocol::Encoding::csv) == (range->view.columns != nullptr),
                    "rows have columns");
    const auto* first = std::get_if<Offset>(&range->from);
    MILLRACE_ASSERT(!first || *first <= world.hub.topics[range->topic].cache.next(), "it begins where there is a log");
    return 0;
  }
  const auto& answer = std::get<HttpAnswer>(routed);
  MILLRACE_ASSERT(answer.status == 200 || answer.status == 400 || answer.status == 404 || answer.status == 416 ||
                      answer.status == 426,
                  "all is well here, so a bad answer is the client's doing");
  if (answer.content_type == "application/json") {
    boost::json::error_code failed;
    (void)boost::json::parse(boost::json::string_view(answer.body.data(), answer.body.size()), failed);
    MILLRACE_ASSERT(!failed, "an answer is JSON if it says so");
  }
  return 0;
}
