#include "subscribers/realtime/paced_replay.hpp"

#include <algorithm>
#include <utility>

namespace millrace::gateway {

namespace {
// Events of a topic that are kept to choose from.
constexpr std::size_t kept_max = 32;
// Where a filter lets little pass, a thread turns to the next session after this many events.
constexpr std::size_t scan_limit = 64 * 1024;
}  // namespace

Status PacedReplay::open(EventSource& source, const ReplayStart& start) {
  std::vector<Topic> opened = topics;
  ReplayStart from = start;
  for (Topic& topic : opened) {
    if (topic.begin) from = *std::exchange(topic.begin, std::nullopt);
    auto replay = source.replay(topic.index, from, level_);
    if (!replay) return fail(replay.error().code, topic.name + ": " + replay.error().message);
    topic.log = std::make_shared<LogPlace>(LogPlace{std::move(*replay), {}});
    topic.run = topic.log->replay->run().run;
    topic.deleted_before.reset();
    if (std::holds_alternative<WallTime>(from) && topic.next() > Offset(0)) {
      // Events that are gone may have been in its range, unless one before it is still there.
      const auto oldest = source.replay(topic.index, Earliest{}, level_);
      if (!oldest) return fail(oldest.error().code, topic.name + ": " + oldest.error().message);
      if ((*oldest)->next() >= topic.next()) topic.deleted_before = topic.next();
    }
    if (topic.to) {
      const auto end = source.replay(topic.index, *topic.to, level_);
      if (!end) return fail(end.error().code, topic.name + ": " + end.error().message);
      topic.end = std::min(topic.end, (*end)->next());
      topic.to.reset();
    }
    if (topic.next() > topic.end && std::holds_alternative<Offset>(from)) {
      return fail(ErrorCode::invalid_argument, topic.name + ": offset " + std::to_string(topic.next().value()) +
                                                   " lies behind the replay's end, " +
                                                   std::to_string(topic.end.value()));
    }
    if (!std::holds_alternative<Offset>(from)) continue;
    MILLRACE_TRY(fill(topic));
    from = WallTime{INT64_MAX};
    if (!topic.log->rest.empty()) from = topic.log->rest.entry(0).record_time;
  }
  topics = std::move(opened);
  pacer.forget();
  reached.reset();
  return {};
}

Error PacedReplay::Topic::taken_back_by(const RunBegin& begun) const {
  return {ErrorCode::rolled_back,
          name + ": what lies behind offset " + std::to_string(begun.offset.value()) + " was taken back"};
}

Status PacedReplay::fill(Topic& topic) {
  LogPlace& log = *topic.log;
  if (!log.rest.empty() || log.next() >= topic.end) return {};
  const auto taken = log.replay->read([&](const LiveEvent& event) { log.rest.append(event, *topic.type); },
                                      std::min<std::size_t>(kept_max, topic.end - log.next()));
  // What came before an error is good; the error shows again.
  if (!taken && log.rest.empty()) return fail(taken.error().code, topic.name + ": " + taken.error().message);
  const RunBegin run = log.replay->run();
  if (topic.is_taken_back_by(run)) return fail(topic.taken_back_by(run));
  topic.run = run.run;
  return {};
}

PacedReplay::Chunk PacedReplay::read(MonotonicTime now, std::size_t bytes_max) {
  Chunk chunk;
  chunk.body->from_log = true;
  for (std::size_t looked_at = 0; looked_at < scan_limit && chunk.body->size < bytes_max; ++looked_at) {
    if (paused && steps == 0) break;
    Topic* chosen = nullptr;
    for (Topic& topic : topics) {
      if (const Status filled = fill(topic); !filled) {
        chunk.error = filled.error();
        return chunk;
      }
      if (topic.next() >= topic.end || topic.log->rest.empty()) continue;
      if (!chosen || topic.log->rest.entry(0).record_time < chosen->log->rest.entry(0).record_time) chosen = &topic;
    }
    if (!chosen) {
      chunk.ended = true;
      for (const Topic& topic : topics) {
        if (topic.next() >= topic.end) continue;
        chunk.error = {ErrorCode::rolled_back,
                       topic.name + ": the log ends at offset " + std::to_string(topic.next().value())};
      }
      break;
    }
    EventBlock& events = chosen->log->rest;
    const WallTime recorded = events.entry(0).record_time;
    if (!paused) {
      if (const MonotonicTime due = pacer.due(recorded, now); due > now) {
        chunk.due = due;
        break;
      }
    }
    if (passes(*chosen->filter, events.entry(0), events.frame(0), *chosen->type)) {
      append(*chosen, static_cast<std::size_t>(chosen - topics.data()), *chunk.body);
      if (paused) --steps;
    }
    reached = std::max(reached.value_or(recorded), recorded);
    if (events.count() == 1) {
      events = EventBlock();
    } else {
      events.drop_before(events.first().next());
    }
  }
  if (paused && reached) pacer.stand_at(*reached);
  count += chunk.body->count;
  return chunk;
}

std::optional<WallTime> PacedReplay::head() const {
  std::optional<WallTime> first;
  for (const Topic& topic : topics) {
    if (!topic.log || topic.log->rest.empty()) continue;
    const WallTime recorded = topic.log->rest.entry(0).record_time;
    if (!first || recorded < *first) first = recorded;
  }
  return first;
}

// As in a message of one topic, but that it names its own.
void PacedReplay::append(Topic& topic, std::size_t position, Body& body) const {
  EventBlock& events = topic.log->rest;
  if (encoding_ == protocol::Encoding::binary) {
    protocol::append_binary_event(events.first(), events.entry(0), events.frame(0), body.bytes,
                                  static_cast<std::uint16_t>(position));
  } else {
    bool made = false;
    const std::string_view json = events.json(0, *topic.type, made);
    if (body.count > 0) body.bytes += ',';
    body.bytes += R"({"topic":")" + topic.name + "\",";  // of [a-z0-9_.-]: nothing to escape
    body.bytes += json.substr(1);
  }
  body.size = body.bytes.size();
  ++body.count;
}

}  // namespace millrace::gateway
