#include "subscribers/realtime/subscription.hpp"

#include <algorithm>

namespace millrace::gateway {

namespace {
constexpr std::size_t read_limit = 256;
// Where a filter lets little pass, a thread turns to the next session after this many events.
constexpr std::size_t scan_limit = 64 * 1024;
}  // namespace

Result<ReplayChunk> read_log(EventSource& source, Counters& counters, ReplayRead work) {
  counters.add(Counter::replay_reads);
  if (!work.replay) {
    auto opened = source.replay(work.topic, work.start);
    if (!opened) {
      counters.add(Counter::replay_errors);
      return fail(std::move(opened).error());
    }
    work.replay = std::move(*opened);
  }
  auto body = std::make_shared<Body>();
  body->first = body->next = work.replay->next();
  body->slot = std::move(work.slot);
  // JSON made here is of no use to others, so it is not counted with the live path's.
  Counters uncounted;
  while (body->bytes.size() < work.bytes_max && body->next - body->first < std::min(work.events_max, scan_limit)) {
    EventBlock block;
    const std::size_t limit = std::min<std::size_t>(read_limit, work.events_max - (body->next - body->first));
    const auto count = work.replay->read([&](const LiveEvent& event) { block.append(event, *work.type); }, limit);
    // What came before an error is good; the error shows again at the next read, with nothing before it.
    if (!block.empty()) gather(block, *work.filter, work.encoding, *work.type, SIZE_MAX, *body, uncounted);
    if (!count) {
      if (body->next > body->first) break;
      counters.add(Counter::replay_errors);
      return fail(count.error());
    }
    if (*count == 0) break;
  }
  return ReplayChunk{std::move(work.replay), std::move(body)};
}

}  // namespace millrace::gateway
