// Replay: recorded events of one or several topics again, in order of their record time, at any speed, and on into
// live.
//
//   auto replay = historical::Replay::open({{.log = historical::log_folder("/var/lib/millrace/log/trade_events")}});
//   while (!(*replay)->ended()) (*replay)->poll([](const Event& event, std::size_t topic) { ... });
//
// Within a topic always log order. Between topics by record time; at the same time the topic that was given first is
// first. A topic that has nothing now holds the others back until they are `merge_delay` old: what it brings after that
// is handed over at once, and counted as late.
//
// A topic may begin with a snapshot: the latest event of each key before the place where it begins, with
// Event::snapshot set and its own offset and record time, ascending by offset, of the first topic first. Nothing else
// comes before it. It is the state at the place where the replay stands, so it is due at once: whatever the speed,
// while paused too, and no step is spent on it. After a seek, and where the log took events back, comes another one.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/bus.hpp"
#include "subscribers/historical/filter.hpp"
#include "subscribers/historical/follower_source.hpp"
#include "subscribers/historical/pacer.hpp"
#include "subscribers/historical/range.hpp"
#include "subscribers/historical/source.hpp"
#include "wal/last_values.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::historical {

// Where a topic's events are read.
struct TopicLog {
  std::string name;  // as errors call it
  std::string folder;
  // The type of the event with this number at this offset, or at LogTypes::newest; nullptr: unknown. What it gives
  // outlives the replay. It differs at most from batch to batch.
  std::function<const schemas::EventType*(EventTypeId, Offset)> types;
  Subscribe subscribe{};  // to follow a bus; empty: files alone
  // The first offset that the bus does not show yet at the level followed; empty: what the files have.
  std::function<Result<Offset>()> end{};
  wal::FileSystem* files = &wal::posix_file_system();
  // Measured, pread is the faster one too: its buffer stays in the cache, where a mapping pays for page faults.
  wal::ReadMode mode = wal::ReadMode::pread;
};
// A log's folder, without any daemon. `root` as in LogTypes.
[[nodiscard]] TopicLog log_folder(const std::string& folder, const std::string& root = {});
// `bus` outlives the replay. `level`: recorded or synced: what the end of a range is, and how far live goes.
// Errors: not_found.
[[nodiscard]] Result<TopicLog> bus_topic(Bus& bus, const std::string& topic, Level level = Level::recorded);

struct ReplayTopic {
  TopicLog log;
  From from = StartEarliest{};
  To to = ToEnd{};
  std::vector<std::string> filters{};  // as Filter::make takes them
  bool snapshot = false;               // begin with one, filtered like the rest
};

struct ReplayOptions {
  Speed speed = as_fast_as_possible;
  bool paused = false;  // from the start
  // False: what is handed over may not be what its type says. With filters it is verified all the same.
  bool verify = true;
  OnLoss on_loss = OnLoss::go_on;
  // Told of gaps and losses. Without it the first loss ends the replay, whatever `on_loss` says; gaps are counted.
  std::function<void(const Notice&)> on_notice{};
  std::chrono::nanoseconds merge_delay = std::chrono::milliseconds(5);
  const Clock* clock = &system_clock();  // outlives the replay
};

// One thread. Calls from within a handler or on_notice: only those that are const.
class Replay {
 public:
  // Errors: invalid_argument (a range, a filter, no topic), deleted, rolled_back, not_found, unsupported (a log of a
  // newer format), and what reading a log says; they begin with the topic's name. With a snapshot also
  // invalid_argument (events without a key), not_found (their schema is not known) and those of wal::last_values().
  [[nodiscard]] static Result<std::unique_ptr<Replay>> open(std::vector<ReplayTopic> topics,
                                                            ReplayOptions options = {});

  // Hands at most `limit` events that are due to `handler(const Event&, std::size_t topic)`; their memory is valid
  // until the handler returns. The number of events passed, those that were not wanted too: 0 means nothing to do now,
  // see due(). After an error it stands still: see error().
  template <class Handler>
  std::size_t poll(Handler&& handler, std::size_t limit = 256);

  // When the next event is due that is known, as of the last poll. nullopt: none is (paused, ended, nothing new yet).
  [[nodiscard]] std::optional<MonotonicTime> due() const { return due_; }
  [[nodiscard]] bool ended() const;
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  void pause();
  void resume();
  [[nodiscard]] bool paused() const { return paused_; }
  // Pauses after the next `events` that are wanted, which are all due now.
  void step(std::size_t events);
  void set_speed(Speed speed);
  [[nodiscard]] Speed speed() const { return pacer_.speed(); }
  // All topics go on at the first event recorded at `time` or later; what is there next is due at once. Errors: what
  // reading the logs says, here and below for a new snapshot too; nothing has changed then.
  [[nodiscard]] Status seek(WallTime time);
  // One topic goes on at an offset, the others at the record time of what is there. Errors: invalid_argument (beyond
  // the end), deleted; nothing has changed then.
  [[nodiscard]] Status seek(Offset offset, std::size_t topic = 0);

  [[nodiscard]] std::size_t topics() const { return topics_.size(); }
  [[nodiscard]] const std::string& name(std::size_t topic) const { return topics_[topic]->log.name; }
  // The next event's offset in the topic: everything before it was handed over, or was not wanted.
  [[nodiscard]] Offset position(std::size_t topic = 0) const { return topics_[topic]->next; }
  [[nodiscard]] const Range& range(std::size_t topic = 0) const { return topics_[topic]->range; }
  // The type of the topic's last event; nullptr if nobody knows it, or there was none.
  [[nodiscard]] const schemas::EventType* type(std::size_t topic = 0) const { return topics_[topic]->type; }
  // The record time reached; nullopt before the first event that is of no snapshot.
  [[nodiscard]] std::optional<WallTime> record_time() const { return reached_; }
  // False while the core of a topic that is followed is away.
  [[nodiscard]] bool connected() const;

  struct Counts {
    std::uint64_t handed_over = 0;  // those of snapshots too
    std::uint64_t filtered = 0;     // passed, and not wanted
    std::uint64_t invalid = 0;      // passed, and no reader could have followed them
    std::uint64_t late = 0;         // handed over, though what was recorded later had been before
    std::uint64_t missing = 0;      // the log never had them
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  struct Topic {
    TopicLog log;
    std::vector<std::string> conditions;
    Range range;
    std::unique_ptr<Source> source;
    std::optional<Batch> batch;  // the events that come next
    Offset next;
    bool asked = false;                // for a batch, in this poll
    std::optional<WallTime> quiet_at;  // when it had nothing, last
    std::optional<EventTypeId> type_id;
    const schemas::EventType* type = nullptr;  // of type_id
    Filter filter;                             // for that type
    bool wants_snapshot = false;
    bool void_snapshot = false;            // the log took events back: it has to be taken anew
    std::vector<wal::LastValue> snapshot;  // being handed over
    std::size_t given = 0;                 // of it
  };

  // Events that one poll passes at most, wanted or not: it shall come back soon.
  static constexpr std::size_t passes_max = 16 * 1024;

  explicit Replay(ReplayOptions options)
      : options_(std::move(options)), pacer_(options_.speed), paused_(options_.paused) {}

  [[nodiscard]] Status add(ReplayTopic&& topic);
  [[nodiscard]] Status check_filters(const Topic& topic, wal::Reader& log, Offset end) const;
  [[nodiscard]] static Result<Filter> filter_of(const Topic& topic, EventTypeId id, const schemas::EventType* type);
  [[nodiscard]] OnLoss on_loss() const { return options_.on_notice ? options_.on_loss : OnLoss::stop; }
  void tell(std::size_t topic, Notice notice);

  void begin_poll();
  // The index of the topic whose batch may be handed over now; nullopt if none is due.
  [[nodiscard]] std::optional<std::size_t> select();
  void fetch(std::size_t topic);
  [[nodiscard]] bool others_are_quiet(std::size_t head);
  [[nodiscard]] bool adopt_type(Topic& topic, EventTypeId id, Offset offset);
  void refresh_type(Topic& topic, Offset offset);
  // Counts and tells what is not wanted. False too after an error.
  [[nodiscard]] bool wanted(std::size_t topic, const FrameView& frame, Offset offset);
  void leave_out(std::size_t topic, const FrameView& frame, Offset offset);
  void end_batch(std::size_t topic);
  [[nodiscard]] std::optional<WallTime> head() const;  // the record time of the next event, as far as it is known
  [[nodiscard]] Status jump(const std::function<Status()>& move);
  [[nodiscard]] Status move_to(std::size_t topic, const Start& start);
  [[nodiscard]] Result<std::vector<wal::LastValue>> read_snapshot(Topic& topic) const;
  // The topic whose snapshot is being handed over; null: none.
  [[nodiscard]] Topic* giving() const;
  template <class Handler>
  std::size_t give(Handler& handler, std::size_t limit);
  [[nodiscard]] tl::unexpected<Error> named(const Topic& topic, const Error& error) const;

  ReplayOptions options_;
  std::vector<std::unique_ptr<Topic>> topics_;
  Pacer pacer_;
  bool paused_;
  std::size_t steps_ = 0;  // events still to be handed over though it is paused
  std::optional<MonotonicTime> due_;
  std::optional<Error> error_;
  std::optional<std::size_t> current_;  // its batch was chosen, and is not at its end
  bool current_is_late_ = false;
  WallTime wall_;                                 // as of this poll
  MonotonicTime now_;                             // likewise
  std::optional<WallTime> reached_;               // the latest record time handed over
  std::optional<MonotonicTime> held_back_since_;  // an event waits for topics that have nothing
  std::chrono::nanoseconds ahead_{0};             // so far is the clock of the logs ahead of this one
  Counts counts_;
};

inline bool Replay::wanted(std::size_t index, const FrameView& frame, Offset offset) {
  Topic& topic = *topics_[index];
  const bool filtered = !topic.conditions.empty();
  if (topic.type_id != frame.event_type() && !adopt_type(topic, frame.event_type(), offset)) return false;
  if (filtered && !topic.filter.may_match(frame.header())) return ++counts_.filtered, false;
  const bool verify = options_.verify || filtered;
  if (verify && (topic.type == nullptr || !topic.type->verify(frame.payload()))) [[unlikely]] {
    return leave_out(index, frame, offset), false;
  }
  if (filtered && !topic.filter.matches(frame.payload())) return ++counts_.filtered, false;
  return true;
}

template <class Handler>
std::size_t Replay::poll(Handler&& handler, std::size_t limit) {
  begin_poll();
  if (giving() != nullptr) return give(handler, limit);
  const std::size_t limit_of_snapshot = limit;
  if (paused_) limit = std::min(limit, steps_);
  std::size_t passed = 0;
  std::size_t left = limit;
  while (left > 0 && passed < passes_max) {
    const auto index = select();
    if (!index) break;
    Topic& topic = *topics_[*index];
    Batch& batch = *topic.batch;
    const std::size_t left_before = left;
    while (left > 0 && passed < passes_max) {
      const auto frame = batch.cursor.next();
      if (!frame || (topic.range.to && batch.next >= *topic.range.to)) {
        end_batch(*index);
        break;
      }
      const Offset offset = batch.next;
      ++batch.next;
      if (offset < topic.next) continue;  // the range begins inside the batch
      topic.next = offset.next();
      ++passed;
      if (!wanted(*index, *frame, offset)) {
        if (error_) break;
        continue;
      }
      --left;
      handler(Event{*frame, batch.publisher, batch.epoch, offset, batch.record_time}, *index);
    }
    const std::size_t handed_over = left_before - left;
    counts_.handed_over += handed_over;
    if (current_is_late_) counts_.late += handed_over;
    if (error_) break;
  }
  if (paused_ && left < limit) {
    steps_ -= limit - left;
    pacer_.stand_at(*reached_);
  }
  // The log took events back.
  if (passed == 0 && giving() != nullptr) return give(handler, limit_of_snapshot);
  return passed;
}

template <class Handler>
std::size_t Replay::give(Handler& handler, std::size_t limit) {
  std::size_t passed = 0;
  std::size_t left = limit;
  for (std::size_t i = 0; i < topics_.size() && !error_; ++i) {
    Topic& topic = *topics_[i];
    while (topic.given < topic.snapshot.size() && left > 0 && passed < passes_max) {
      const wal::LastValue& value = topic.snapshot[topic.given++];
      ++passed;
      refresh_type(topic, value.offset);
      if (!wanted(i, value.view(), value.offset)) {
        if (error_) break;
        continue;
      }
      --left;
      ++counts_.handed_over;
      Event event{value.view(), value.publisher, value.epoch, value.offset, value.record_time};
      event.snapshot = true;
      handler(event, i);
    }
    if (topic.given < topic.snapshot.size()) break;
    if (topic.given > 0) {
      topic.snapshot = {};
      topic.given = 0;
      topic.type_id.reset();  // what follows may have been written by another schema of the type
    }
  }
  return passed;
}

}  // namespace millrace::historical
