// Takes any text as a request of a WebSocket client: it is refused by a message that is JSON, or holds nothing beyond
// the limits of PROTOCOL.md.
#include <boost/json.hpp>
#include <cstdint>
#include <string>

#include "bus/base/assert.hpp"
#include "bus/base/limits.hpp"
#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/replay_protocol.hpp"

namespace {

using namespace millrace;
using namespace millrace::gateway;

void must_be_json(std::string_view text) {
  boost::json::error_code failed;
  (void)boost::json::parse(boost::json::string_view(text.data(), text.size()), failed);
  MILLRACE_ASSERT(!failed, "every answer is JSON");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto parsed = protocol::parse_request(text);
  if (const auto* wrong = std::get_if<protocol::RequestError>(&parsed)) {
    MILLRACE_ASSERT(!wrong->message.empty() && wrong->message.size() < 1024, "a refusal has a reason, a short one");
    must_be_json(protocol::error(*wrong));
    return 0;
  }
  const auto& request = std::get<protocol::Request>(parsed);
  if (const auto* wanted = std::get_if<protocol::Subscribe>(&request.what)) {
    MILLRACE_ASSERT(wanted->filter.values.size() <= 64, "filters are bounded");
    for (const std::string& value : wanted->filter.values) {
      MILLRACE_ASSERT(!value.empty() && value.size() <= 64, "so are their values");
    }
    static const auto types = schemas::Registry::built_in();
    TopicInfo topic;
    topic.name = wanted->topic;
    topic.type = types.all().front();
    must_be_json(protocol::subscribed(request.id, topic,
                                      {1,
                                       Offset(0),
                                       wanted->encoding,
                                       {wanted->slow, wanted->queue.value_or(1)},
                                       wanted->skip_deleted,
                                       {},
                                       {},
                                       wanted->level,
                                       wanted->consumer,
                                       wanted->batch}));
    if (const auto& batch = wanted->batch) {
      MILLRACE_ASSERT(batch->age > std::chrono::nanoseconds(0) && batch->age <= protocol::batch_age_max &&
                          batch->count >= 1 && batch->count <= protocol::batch_count_max &&
                          batch->bytes >= protocol::batch_bytes_min && batch->bytes <= protocol::batch_bytes_max,
                      "batches are bounded");
    }
    const bool durable = !wanted->consumer.empty();
    MILLRACE_ASSERT(wanted->consumer.size() <= limits::consumer_name_size_max, "so are names");
    MILLRACE_ASSERT(durable || !wanted->take_over, "only a name is taken over");
    MILLRACE_ASSERT(!durable || (wanted->level == Level::synced && wanted->slow == protocol::SlowPolicy::Kind::heal),
                    "a durable consumer loses nothing");
  } else if (const auto* unwanted = std::get_if<protocol::Unsubscribe>(&request.what)) {
    must_be_json(protocol::unsubscribed(request.id, {unwanted->subscription, Offset(0), Offset(1), {}}));
  } else if (const auto* asked = std::get_if<protocol::AskBooks>(&request.what)) {
    must_be_json(protocol::books(request.id, "trades", protocol::SlowPolicy::Kind::heal,
                                 {asked->subscription, Offset(0), Offset(1), {}}, Offset(2)));
  } else if (const auto* ack = std::get_if<protocol::Ack>(&request.what)) {
    must_be_json(protocol::acked(request.id, ack->subscription, ack->next, Offset(0)));
  } else if (const auto* replay = std::get_if<protocol::StartReplay>(&request.what)) {
    MILLRACE_ASSERT(!replay->topics.empty() && replay->topics.size() <= 8, "a replay is of some topics");
    MILLRACE_ASSERT(replay->filter.values.size() <= 64 && replay->speed.thousandths >= 0, "and bounded");
    must_be_json(
        protocol::replay_answer("replaying", request.id, {1, {}, {Offset(1)}, {}, {}, replay->speed, false, {}, 0}));
  } else if (const auto* steer = std::get_if<protocol::Steer>(&request.what)) {
    MILLRACE_ASSERT(steer->count >= 1, "a step goes on");
    must_be_json(protocol::replay_answer("replay_state", request.id,
                                         {steer->subscription, {}, {}, {}, {}, steer->speed, true, WallTime{5}, 1}));
  } else {
    must_be_json(protocol::pong(request.id, WallTime{1}));
  }
  return 0;
}
