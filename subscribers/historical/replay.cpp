#include "subscribers/historical/replay.hpp"

#include <filesystem>
#include <utility>

#include "bus/log_types.hpp"
#include "bus/snapshot_keys.hpp"
#include "subscribers/historical/log_source.hpp"

namespace millrace::historical {

namespace {

// Each event by the schema that it was written by.
auto types_of(const std::string& folder, const std::string& root = {}) {
  return [types = std::make_shared<LogTypes>(folder, root)](EventTypeId id, Offset at) { return types->find(id, at); };
}

struct Found {
  EventTypeId type;
  Offset offset;
};
// The first event from `from` on; nullopt: there is none before `end`.
Result<std::optional<Found>> first_event(wal::Reader& log, Offset from, Offset end) {
  MILLRACE_TRY(log.seek(from));
  for (;;) {
    const auto batch = log.next(end);
    if (!batch && batch.error().code == ErrorCode::corrupt) continue;
    if (!batch) return fail(batch.error());
    if (!*batch) return std::nullopt;
    if (const auto event = wal::EventCursor(**batch).next()) return Found{event->frame.event_type(), event->offset};
  }
}

}  // namespace

TopicLog log_folder(const std::string& folder, const std::string& root) {
  auto path = std::filesystem::path(folder);
  if (path.filename().empty()) path = path.parent_path();
  return {.name = path.filename().string(), .folder = folder, .types = types_of(folder, root)};
}

Result<TopicLog> bus_topic(Bus& bus, const std::string& topic, Level level) {
  if (level == Level::live) {
    return fail(ErrorCode::invalid_argument, "level live has no log order; replay at level recorded or synced");
  }
  const auto found = bus.topic(topic);
  if (!found) return fail(found.error());
  TopicLog log{.name = topic, .folder = found->log_folder, .types = types_of(found->log_folder)};
  log.subscribe = [&bus, topic, level](const Start& start,
                                       Follower::OnGap on_gap) -> Result<std::unique_ptr<Subscriber>> {
    auto subscriber = bus.subscribe(topic, {.level = level, .start = start, .on_gap = std::move(on_gap)});
    if (!subscriber) return fail(subscriber.error());
    return std::make_unique<Subscriber>(std::move(*subscriber));
  };
  log.end = [&bus, topic, level]() -> Result<Offset> {
    const auto report = bus.status();
    if (!report) return fail(report.error());
    for (const auto& one : report->topics) {
      if (one->name == topic) return Offset(level == Level::synced ? one->synced_end : one->recorded_end);
    }
    return fail(ErrorCode::not_found, "the core has no topic '" + topic + "' any more");
  };
  return log;
}

Result<std::unique_ptr<Replay>> Replay::open(std::vector<ReplayTopic> topics, ReplayOptions options) {
  if (topics.empty()) return fail(ErrorCode::invalid_argument, "there is no topic to replay; name at least one");
  std::unique_ptr<Replay> replay(new Replay(std::move(options)));
  for (ReplayTopic& topic : topics) MILLRACE_TRY(replay->add(std::move(topic)));
  return replay;
}

Status Replay::add(ReplayTopic&& wanted) {
  const std::size_t index = topics_.size();
  topics_.push_back(std::make_unique<Topic>());
  Topic& topic = *topics_.back();
  topic.log = std::move(wanted.log);
  topic.conditions = std::move(wanted.filters);
  topic.wants_snapshot = wanted.snapshot;
  auto log = wal::Reader::open(*topic.log.files, topic.log.folder, topic.log.mode);
  if (!log) return named(topic, log.error());
  const auto end = topic.log.end ? topic.log.end() : log->end_offset();
  if (!end) return named(topic, end.error());
  const auto range = find_range(*topic.log.files, topic.log.folder, *log, wanted.from, wanted.to, *end);
  if (!range) return named(topic, range.error());
  topic.range = *range;
  topic.next = range->from;
  if (const Status sound = check_filters(topic, *log, range->to.value_or(*end)); !sound) return sound;

  const auto say = [this, index](const Notice& notice) { tell(index, notice); };
  if (!range->to && topic.log.subscribe) {
    topic.source =
        std::make_unique<FollowerSource>(topic.log.subscribe, *topic.log.files, topic.log.folder, on_loss(), say);
  } else {
    topic.source = std::make_unique<LogSource>(std::move(*log), range->to, on_loss(), say);
  }
  const auto there = topic.source->seek(range->from);
  if (!there) return named(topic, there.error());
  auto snapshot = read_snapshot(topic);
  if (!snapshot) return fail(snapshot.error());
  topic.snapshot = std::move(*snapshot);
  return {};
}

// By the newest schema of the events there are: a filter that cannot be is an error before the first one is handed
// over.
Status Replay::check_filters(const Topic& topic, wal::Reader& log, Offset end) const {
  if (topic.conditions.empty() || log.first_offset() >= end) return {};
  const Offset from = topic.range.from < end ? topic.range.from : log.first_offset();
  const auto first = first_event(log, from, end);
  if (!first) return named(topic, first.error());
  if (!*first) return {};
  const EventTypeId id = (*first)->type;
  const auto filter = filter_of(topic, id, topic.log.types ? topic.log.types(id, LogTypes::newest) : nullptr);
  if (!filter) return named(topic, filter.error());
  return {};
}

Result<Filter> Replay::filter_of(const Topic& topic, EventTypeId id, const schemas::EventType* type) {
  if (type != nullptr) return Filter::make(topic.conditions, *type);
  return fail(ErrorCode::not_found, "its events, of type " + std::to_string(static_cast<unsigned>(id)) +
                                        ", cannot be filtered: their schema is not known");
}

bool Replay::adopt_type(Topic& topic, EventTypeId id, Offset offset) {
  topic.type_id = id;
  topic.type = topic.log.types ? topic.log.types(id, offset) : nullptr;
  if (topic.conditions.empty()) return true;
  auto filter = filter_of(topic, id, topic.type);
  // An older schema of the type may not have the field: its events cannot be what is wanted.
  if (!filter && topic.type != nullptr && topic.type != topic.log.types(id, LogTypes::newest)) {
    filter = Filter::nothing();
  }
  if (!filter) return error_ = named(topic, filter.error()).value(), false;
  topic.filter = std::move(*filter);
  return true;
}

// A later event may have been written by another schema of the type.
void Replay::refresh_type(Topic& topic, Offset offset) {
  if (topic.type_id && topic.log.types && topic.log.types(*topic.type_id, offset) != topic.type) topic.type_id.reset();
}

// As of the topic's next event. By the newest schema of its type: the core notes the keys of sealed segments by it too.
Result<std::vector<wal::LastValue>> Replay::read_snapshot(Topic& topic) const {
  if (!topic.wants_snapshot) return {};
  auto log = wal::Reader::open(*topic.log.files, topic.log.folder, topic.log.mode);
  if (!log) return named(topic, log.error());
  const auto end = log->end_offset();
  if (!end) return named(topic, end.error());
  const auto first = first_event(*log, log->first_offset(), *end);
  if (!first) return named(topic, first.error());
  if (!*first) return {};
  const schemas::EventType* type = topic.log.types ? topic.log.types((*first)->type, LogTypes::newest) : nullptr;
  if (type == nullptr) {
    return named(topic, {ErrorCode::not_found, "there is no snapshot of its events, of type " +
                                                   std::to_string(static_cast<unsigned>((*first)->type)) +
                                                   ": their schema is not known"});
  }
  if (type->key_field().empty()) {
    return named(topic, {ErrorCode::invalid_argument,
                         "its events have no key that a snapshot could have the latest of; "
                         "replay it without one"});
  }
  auto values = wal::last_values(*topic.log.files, topic.log.folder, topic.next, snapshot_keys(*type), std::nullopt,
                                 topic.log.mode);
  if (!values) return named(topic, values.error());
  return values;
}

Replay::Topic* Replay::giving() const {
  for (const auto& topic : topics_) {
    if (topic->given < topic->snapshot.size()) return topic.get();
  }
  return nullptr;
}

tl::unexpected<Error> Replay::named(const Topic& topic, const Error& error) const {
  return fail(error.code, topic.log.name + ": " + error.message);
}

bool Replay::ended() const {
  return giving() == nullptr && std::all_of(topics_.begin(), topics_.end(),
                                            [](const auto& topic) { return !topic->batch && topic->source->ended(); });
}

bool Replay::connected() const {
  return std::all_of(topics_.begin(), topics_.end(), [](const auto& topic) { return topic->source->connected(); });
}

void Replay::tell(std::size_t index, Notice notice) {
  Topic& topic = *topics_[index];
  notice.topic = index;
  switch (notice.kind) {
    case Notice::Kind::gap:
      counts_.missing += notice.gap.to - notice.gap.from + 1;
      break;
    case Notice::Kind::rolled_back:
      topic.next = std::min(topic.next, notice.from);
      topic.void_snapshot = topic.wants_snapshot;
      break;
    case Notice::Kind::corrupt:
    case Notice::Kind::deleted:
      topic.next = std::max(topic.next, notice.to);
      break;
    case Notice::Kind::invalid:
      break;
  }
  if (options_.on_notice) options_.on_notice(notice);
}

void Replay::leave_out(std::size_t index, const FrameView& frame, Offset offset) {
  ++counts_.invalid;
  const Topic& topic = *topics_[index];
  const std::string what =
      topic.type != nullptr
          ? " is no valid event of type " + std::string(topic.type->name())
          : " has event type " + std::to_string(static_cast<unsigned>(frame.event_type())) + ", which is not known";
  tell(index, {.kind = Notice::Kind::invalid,
               .from = offset,
               .to = offset.next(),
               .message = "offset " + std::to_string(offset.value()) + what});
}

void Replay::begin_poll() {
  due_.reset();
  wall_ = options_.clock->wall();
  now_ = options_.clock->monotonic();
  for (const auto& topic : topics_) {
    topic->asked = false;
    topic->source->idle();
  }
}

std::optional<std::size_t> Replay::select() {
  if (error_) return std::nullopt;
  if (current_) return current_;
  std::optional<std::size_t> first;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    Topic& topic = *topics_[i];
    if (!topic.batch && !topic.asked) fetch(i);
    if (error_ || topic.given < topic.snapshot.size()) return std::nullopt;
    if (topic.batch && (!first || topic.batch->record_time < topics_[*first]->batch->record_time)) first = i;
  }
  if (!first || !others_are_quiet(*first)) return std::nullopt;
  const WallTime time = topics_[*first]->batch->record_time;
  if (!paused_) {
    const MonotonicTime due = pacer_.due(time, now_);
    if (due > now_) return due_ = due, std::nullopt;
  }
  current_is_late_ = reached_ && time < *reached_;
  reached_ = std::max(reached_.value_or(time), time);
  return current_ = first;
}

void Replay::fetch(std::size_t index) {
  Topic& topic = *topics_[index];
  Batch batch;
  const auto found = topic.source->fetch(batch);
  if (std::exchange(topic.void_snapshot, false)) {
    auto snapshot = read_snapshot(topic);
    if (!snapshot) {
      error_ = snapshot.error();
      return;
    }
    topic.snapshot = std::move(*snapshot);
    topic.given = 0;
  }
  if (!found) {
    error_ = named(topic, found.error()).value();
  } else if (*found) {
    topic.batch = batch;
    refresh_type(topic, batch.next);
  } else {
    topic.asked = true;
    topic.quiet_at = wall_;
  }
}

// Whether nothing earlier can come: each other topic has its next event, or had none when this one was `merge_delay`
// old. Where the clock of the logs is ahead of this one nobody waits longer than that either.
bool Replay::others_are_quiet(std::size_t head) {
  if (topics_.size() == 1) return true;
  const WallTime wanted = topics_[head]->batch->record_time + options_.merge_delay;
  std::optional<std::chrono::nanoseconds> missing;
  for (const auto& topic : topics_) {
    if (topic->batch || topic->source->ended()) continue;
    const auto behind = topic->quiet_at ? wanted - (*topic->quiet_at + ahead_) : options_.merge_delay;
    if (behind.count() > 0) missing = std::max(missing.value_or(behind), behind);
  }
  if (missing && !held_back_since_) held_back_since_ = now_;
  if (missing && now_ - *held_back_since_ < options_.merge_delay) {
    due_ = std::min(now_ + *missing, *held_back_since_ + options_.merge_delay);
    return false;
  }
  if (missing) ahead_ += *missing;
  held_back_since_.reset();
  return true;
}

void Replay::end_batch(std::size_t index) {
  Topic& topic = *topics_[index];
  const Batch batch = *topic.batch;
  topic.batch.reset();
  current_.reset();
  const bool past_end = topic.range.to && batch.next >= *topic.range.to;
  if (batch.next >= batch.end || past_end) return;
  const std::string what = "offsets " + std::to_string(batch.next.value()) + " to before " +
                           std::to_string(batch.end.value()) + " are no well-formed frames; they are left out";
  if (on_loss() == OnLoss::stop) {
    error_ = named(topic, {ErrorCode::corrupt, what}).value();
    return;
  }
  tell(index, {.kind = Notice::Kind::corrupt, .from = batch.next, .to = batch.end, .message = what});
}

std::optional<WallTime> Replay::head() const {
  std::optional<WallTime> earliest;
  for (const auto& topic : topics_) {
    if (topic->batch) earliest = std::min(earliest.value_or(topic->batch->record_time), topic->batch->record_time);
  }
  return earliest;
}

void Replay::pause() {
  steps_ = 0;
  if (paused_) return;
  paused_ = true;
  pacer_.pause(options_.clock->monotonic(), head());
  due_.reset();
}

void Replay::resume() {
  steps_ = 0;
  if (!paused_) return;
  paused_ = false;
  pacer_.resume(options_.clock->monotonic());
}

void Replay::step(std::size_t events) {
  pause();
  steps_ = events;
}

void Replay::set_speed(Speed speed) {
  pacer_.change(speed, options_.clock->monotonic(), head());
  due_.reset();
}

Status Replay::move_to(std::size_t index, const Start& start) {
  Topic& topic = *topics_[index];
  const auto there = topic.source->seek(start);
  if (!there) return named(topic, there.error());
  topic.next = *there;
  return {};
}

// A source's batch is gone once it seeks. Where one cannot, all go back to where they were.
Status Replay::jump(const std::function<Status()>& move) {
  std::vector<Offset> before;
  for (const auto& topic : topics_) {
    before.push_back(topic->next);
    topic->batch.reset();
    topic->quiet_at.reset();
  }
  current_.reset();
  held_back_since_.reset();
  due_.reset();
  error_.reset();
  Status moved = move();
  if (moved && error_) moved = fail(*std::exchange(error_, std::nullopt));
  std::vector<std::vector<wal::LastValue>> snapshots;
  for (std::size_t i = 0; moved && i < topics_.size(); ++i) {
    auto snapshot = read_snapshot(*topics_[i]);
    if (!snapshot) moved = fail(snapshot.error());
    if (snapshot) snapshots.push_back(std::move(*snapshot));
  }
  if (moved) {
    for (std::size_t i = 0; i < topics_.size(); ++i) {
      topics_[i]->snapshot = std::move(snapshots[i]);
      topics_[i]->given = 0;
    }
    reached_.reset();
    pacer_.forget();
    return {};
  }
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    topics_[i]->batch.reset();
    if (const Status back = move_to(i, before[i]); !back) error_ = back.error();
  }
  return moved;
}

Status Replay::seek(WallTime time) {
  return jump([&]() -> Status {
    for (std::size_t i = 0; i < topics_.size(); ++i) MILLRACE_TRY(move_to(i, time));
    return {};
  });
}

Status Replay::seek(Offset offset, std::size_t index) {
  if (index >= topics_.size()) {
    return fail(ErrorCode::invalid_argument,
                "there is no topic " + std::to_string(index) + " in this replay of " + std::to_string(topics_.size()));
  }
  const Topic& topic = *topics_[index];
  if (topic.range.to && offset > *topic.range.to) {
    return named(topic, {ErrorCode::invalid_argument, "offset " + std::to_string(offset.value()) +
                                                          " is beyond the end of this replay, " +
                                                          std::to_string(topic.range.to->value())});
  }
  return jump([&]() -> Status {
    MILLRACE_TRY(move_to(index, offset));
    if (topics_.size() == 1) return {};
    fetch(index);
    const Start others = topic.batch ? Start(topic.batch->record_time) : Start(StartLatest{});
    for (std::size_t i = 0; i < topics_.size(); ++i) {
      if (i != index) MILLRACE_TRY(move_to(i, others));
    }
    return {};
  });
}

}  // namespace millrace::historical
