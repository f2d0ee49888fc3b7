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
  ReplayChunk chunk{std::move(work.log), nullptr};
  Lookahead& lookahead = *work.lookahead;
  while (!lookahead.done() && chunk.looked_at < scan_limit) {
    EventBlock block;
    const auto count = chunk.log->replay->read([&](const LiveEvent& event) { block.append(event, *work.type); },
                                               std::min<std::size_t>(read_limit, lookahead.end() - lookahead.next()));
    if (!block.empty()) lookahead.look(block, *work.view.filter, *work.type, SIZE_MAX);
    chunk.looked_at += block.count();
    if (!count) return fail(count.error());
    if (*count == 0) break;
  }
  return chunk;
}

Result<ReplayChunk> read_events(ReplayRead& work) {
  LogPlace& log = *work.log;
  auto body = std::move(work.body);
  if (!body) {
    body = std::make_shared<Body>();
    body->first = body->next = log.next();
    body->from_log = true;
  }
  body->slot = work.slot;
  const Offset begin = body->next;
  // JSON made here is of no use to others, so it is not counted with the live path's.
  Counters uncounted;
  const std::size_t most = std::min(work.offsets_max, scan_limit);
  Limit limit = work.limit;
  limit.end = std::min(limit.end, begin + most);
  if (work.view.plan) limit.end = std::min(limit.end, work.view.plan->end);
  bool dry = false;
  while (has_room(*body, limit) && body->next < limit.end) {
    if (log.rest.empty()) {
      const auto wanted = std::min<std::size_t>(read_limit, limit.end - body->next);
      const auto count = log.replay->read([&](const LiveEvent& event) { log.rest.append(event, *work.type); }, wanted);
      // What came before an error is good; the error shows again at the next read, with nothing before it.
      if (!count && log.rest.empty() && body->next == body->first) return fail(count.error());
      dry = log.rest.empty();
      if (dry) break;
    }
    gather(log.rest, work.view, *work.type, limit, *body, uncounted);
    if (body->next == log.rest.next()) {
      log.rest = EventBlock();
    } else {
      log.rest.drop_before(body->next);
    }
  }
  const bool complete = dry || !has_room(*body, limit) || (work.view.plan && body->next == work.view.plan->end);
  return ReplayChunk{std::move(work.log), std::move(body), 0, complete};
}

Result<ReplayChunk> read_from(EventSource& source, ReplayRead& work) {
  if (!work.log) {
    auto opened = source.replay(work.topic, work.start, work.view.level);
    if (!opened) return fail(std::move(opened).error());
    work.log = std::make_shared<LogPlace>(LogPlace{std::move(*opened), {}});
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

void Subscription::begin_run(Offset run_begin) {
  leave_log();
  if (batch) batch->open.reset();
  if (ready && ready->next > run_begin) {
    ready.reset();
    announced = false;
  }
  if (lookahead && lookahead->end() > run_begin) lookahead.reset();
  if (view.plan && view.plan->end > run_begin) view.plan.reset();
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
    work.log.reset();
    work.start = Earliest{};
  }
}

}  // namespace millrace::gateway
