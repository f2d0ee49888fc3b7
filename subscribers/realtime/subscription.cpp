#include "subscribers/realtime/subscription.hpp"

#include <algorithm>

namespace millrace::gateway {

namespace {
constexpr std::size_t read_limit = 256;
// Where a filter lets little pass, a thread turns to the next session after this many events.
constexpr std::size_t scan_limit = 64 * 1024;
// Retention may be at work while the oldest event is looked for.
constexpr int deleted_retries = 4;

Result<ReplayChunk> look_ahead(ReplayRead& work) {
  ReplayChunk chunk{std::move(work.replay), nullptr};
  Lookahead& lookahead = *work.lookahead;
  while (!lookahead.done() && chunk.looked_at < scan_limit) {
    EventBlock block;
    const auto count = chunk.replay->read([&](const LiveEvent& event) { block.append(event, *work.type); },
                                          std::min<std::size_t>(read_limit, lookahead.end() - lookahead.next()));
    if (!block.empty()) lookahead.look(block, *work.view.filter, *work.type, SIZE_MAX);
    chunk.looked_at += block.count();
    if (!count) return fail(count.error());
    if (*count == 0) break;
  }
  return chunk;
}

Result<ReplayChunk> read_events(ReplayRead& work) {
  auto body = std::make_shared<Body>();
  body->first = body->next = work.replay->next();
  body->from_log = true;
  body->slot = work.slot;
  // JSON made here is of no use to others, so it is not counted with the live path's.
  Counters uncounted;
  const std::size_t most = std::min(work.events_max, scan_limit);
  while (has_room(*body, work.bytes_max) && body->next - body->first < most) {
    EventBlock block;
    std::size_t limit = std::min<std::size_t>(read_limit, most - (body->next - body->first));
    if (work.view.plan) limit = std::min<std::size_t>(limit, work.view.plan->end - body->next);
    if (limit == 0) break;
    const auto count = work.replay->read([&](const LiveEvent& event) { block.append(event, *work.type); }, limit);
    // What came before an error is good; the error shows again at the next read, with nothing before it.
    if (!block.empty()) gather(block, work.view, *work.type, {}, *body, uncounted);
    if (!count) {
      if (body->next > body->first) break;
      return fail(count.error());
    }
    if (*count == 0) break;
  }
  return ReplayChunk{std::move(work.replay), std::move(body)};
}

Result<ReplayChunk> read_from(EventSource& source, ReplayRead& work) {
  if (!work.replay) {
    auto opened = source.replay(work.topic, work.start, work.view.level);
    if (!opened) return fail(std::move(opened).error());
    work.replay = std::move(*opened);
  }
  return work.lookahead ? look_ahead(work) : read_events(work);
}
}  // namespace

std::vector<MissingEvents> Subscription::missing_in(const Body& body) const {
  std::vector<MissingEvents> missing;
  for (const Body::Stream& stream : body.streams) {
    for (const auto& [publisher, last] : sequences) {
      if (publisher == stream.publisher && stream.first > last.next()) {
        missing.push_back({publisher, last.next(), Sequence(stream.first.value() - 1), stream.first_at});
      }
    }
  }
  missing.insert(missing.end(), body.missing.begin(), body.missing.end());
  return missing;
}

Books Subscription::pass(const Body& body) {
  Books passed;
  (body.from_log && caught_up ? passed.healed : passed.delivered) = body.count;
  passed.conflated = body.conflated;
  passed.filtered = (body.next - body.first) - body.count - body.conflated;
  for (const MissingEvents& missing : missing_in(body)) {
    passed.not_recorded += missing.to.next() - missing.from;
  }
  for (const Body::Stream& stream : body.streams) {
    const auto known = std::find_if(sequences.begin(), sequences.end(),
                                    [&](const auto& one) { return one.first == stream.publisher; });
    if (known == sequences.end()) {
      sequences.emplace_back(stream.publisher, stream.last);
    } else {
      known->second = stream.last;
    }
  }
  cursor = body.next;
  books += passed;
  return passed;
}

Books Subscription::skip_to(Offset first_there_is) {
  Books skipped;
  skipped.skipped = first_there_is - cursor;
  // Sequences jump here because of what was deleted.
  sequences.clear();
  cursor = first_there_is;
  books += skipped;
  return skipped;
}

std::optional<Offset> offset_of(const ReplayStart& start) {
  if (const auto* offset = std::get_if<Offset>(&start)) return *offset;
  if (const auto* position = std::get_if<Position>(&start)) return position->offset;
  return std::nullopt;
}

Result<ReplayChunk> read_log(EventSource& source, Counters& counters, ReplayRead work) {
  counters.add(Counter::replay_reads);
  for (int tried = 0;; ++tried) {
    auto chunk = read_from(source, work);
    if (chunk) return chunk;
    if (chunk.error().code != ErrorCode::deleted || !work.skip_deleted || tried == deleted_retries) {
      counters.add(Counter::replay_errors);
      return chunk;
    }
    work.replay.reset();
    work.start = Earliest{};
  }
}

}  // namespace millrace::gateway
