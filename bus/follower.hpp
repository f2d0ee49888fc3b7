// Levels recorded and synced: every event of a topic once, in log order. One state machine for all tiers:
//
//   replay --(the order ring has the next offset, and its page can be leased)--> live
//   live   --(the order ring or the page went by: lapped)---------------------> replay
//   any    --(the core was replaced)------------------------------------------> replay, from the same offset
//   any    --(a new run of the log gives out again offsets that were shown)---> replay, from the run's first offset
//
// Live frames are read where they lie, in the publishers' pages; replayed ones from the mapped log. A snapshot, where
// one is wanted, comes first, as copies: the latest event of each key before the offset at which the rest begins.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/event.hpp"
#include "bus/ring/reader.hpp"
#include "bus/start.hpp"
#include "wal/last_values.hpp"
#include "wal/reader.hpp"

namespace millrace {

class Follower {
 public:
  using OnGap = std::function<void(const Gap&)>;
  // What begins with a snapshot. After a roll-back another one comes, as of where the log goes on.
  struct Snapshot {
    wal::KeyDefinition keys;
    // All of the snapshot was given: it is as of this offset, and what comes next is everything from there on.
    std::function<void(Offset)> on_end{};
  };

  // Errors: those of find_start(), of a durable consumer `overrun` for `deleted`; what opening the log says and, with a
  // snapshot, those of wal::last_values().
  [[nodiscard]] static Result<Follower> open(Attached<SubscriberAttachment> attached, Level level, const Start& start,
                                             OnGap on_gap, std::optional<Snapshot> snapshot = std::nullopt);

  // The next event, or nullopt if there is none now. What an earlier call gave is invalid from here on. After an error
  // it stands still: see error().
  [[nodiscard]] std::optional<Event> next();

  // Who is told of gaps from now on, instead of who was named at the start.
  void on_gap(OnGap on_gap) { on_gap_ = std::move(on_gap); }

  // Where it stands: the next event wanted. A token to resume from, if the level is synced or once it is synced.
  [[nodiscard]] Position position() const { return {attachment_->log_id, run_, next_}; }
  // Something of a snapshot is still to be given.
  [[nodiscard]] bool giving_snapshot() const { return giving_.has_value(); }
  // Why it stands still, if it does. Of a durable consumer under which the log was deleted: overrun.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  // Sleeps until there is something to read, at most `timeout`. True: there is, or there may be news of the core.
  [[nodiscard]] bool wait(std::chrono::nanoseconds timeout) const;

  // Of a durable consumer: everything before `end` is dealt with. Costs a store; the core makes it durable soon after,
  // see checkpoint(). Errors: invalid_argument (no durable consumer; beyond what was read), fenced (another process has
  // taken the name over), and why the core would not have it back.
  [[nodiscard]] Status ack(Offset end);
  // What is durably acknowledged: where the next owner of the name begins.
  [[nodiscard]] Offset checkpoint() const;

  struct Freshness {
    Offset recorded_end;
    Offset synced_end;
    Offset next;     // this follower's
    bool replaying;  // reads the log, not the pages
    bool connected;  // the core is there
  };
  [[nodiscard]] Freshness freshness() const;
  // Times it fell back to the log after it had been live.
  [[nodiscard]] std::uint64_t heals() const { return heals_; }
  [[nodiscard]] const std::shared_ptr<SubscriberAttachment>& attachment() const { return attachment_; }

 private:
  struct Batch {
    FrameCursor cursor{{}};
    PublisherId publisher;
    Epoch epoch;
    WallTime record_time;
    Offset next;  // of the next frame under the cursor
    Offset end{std::numeric_limits<std::uint64_t>::max()};
    Sequence sequence{};  // of that frame as it was recorded; 0 where the frames are the log's own
  };

  // A snapshot that is being given.
  struct Giving {
    std::vector<wal::LastValue> values;
    std::size_t next = 0;
  };

  Follower(std::shared_ptr<SubscriberLink> link, Level level, OnGap on_gap, std::optional<Snapshot> snapshot)
      : link_(std::move(link)), level_(level), on_gap_(std::move(on_gap)), snapshot_(std::move(snapshot)) {}

  [[nodiscard]] Status begin(const Start& start);
  void adopt(std::shared_ptr<SubscriberAttachment> next);
  [[nodiscard]] Offset end() const;  // the first offset this level may not show yet
  // Goes back to where a new run began, if it gives out again what was shown.
  void follow_run(Run run, Offset begin);
  [[nodiscard]] bool fetch();
  [[nodiscard]] bool fetch_live();
  [[nodiscard]] bool fetch_replay(Offset end);
  [[nodiscard]] Result<wal::Reader> open_log() const;
  void report_missing(const FrameView& frame);
  // As who reads is told of it.
  [[nodiscard]] Error told(Error error) const;
  [[nodiscard]] Status take_snapshot();
  // nullopt: all of it was given.
  [[nodiscard]] std::optional<Event> next_of_snapshot();

  std::shared_ptr<SubscriberLink> link_;
  Level level_;
  OnGap on_gap_;
  std::optional<Snapshot> snapshot_;
  std::optional<Giving> giving_;
  std::shared_ptr<SubscriberAttachment> attachment_;
  std::vector<ring::Reader> readers_;
  std::optional<wal::Reader> log_;      // while replaying
  std::optional<std::uint64_t> entry_;  // while live: index of the next order entry
  Batch batch_;
  Run run_;                     // as of next_
  std::uint32_t failures_ = 0;  // of the topic, as of log_
  Offset next_;
  std::map<PublisherId, Sequence> last_;  // seen of each publisher, to tell what the log never had
  std::optional<Error> error_;
  std::uint64_t heals_ = 0;
};

}  // namespace millrace
