// One subscription of a session: a cursor, what it wants to see, and its way through the log while it is behind the
// cache.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "subscribers/realtime/books.hpp"
#include "subscribers/realtime/conflation.hpp"
#include "subscribers/realtime/event_source.hpp"
#include "subscribers/realtime/gather.hpp"
#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/snapshot.hpp"

namespace millrace::gateway {

// A place in the log. Events that a message had no room for are kept for the next.
struct LogPlace {
  std::unique_ptr<Replay> replay;
  EventBlock rest;  // before what `replay` hands over next

  [[nodiscard]] Offset next() const { return rest.empty() ? replay->next() : rest.first(); }
};

// What a subscription of batches has besides.
struct Batching {
  protocol::BatchBounds bounds;
  std::unique_ptr<Body> open;      // of what is in memory from the cursor on: measured, to be gathered when it closes
  MonotonicTime opened;            // when its first event was seen
  std::shared_ptr<Body> from_log;  // read in several turns, and not full yet
  std::deque<std::pair<Offset, Offset>> unacked;  // of a durable consumer: what was sent, first and next offset
};

// A snapshot that was asked for and is not all sent.
struct Snapshotting {
  std::optional<SnapshotBodies> bodies;  // once they are read; never empty
};

struct Subscription {
  std::uint32_t id = 0;
  std::size_t topic = 0;
  View view;
  protocol::SlowPolicy slow;
  std::optional<Batching> batch;
  std::optional<Snapshotting> snapshot;
  bool skip_deleted = false;  // else what retention deleted before it came ends it
  Offset first;               // where it began
  Offset cursor;              // the first event not sent yet
  Books books;                // of [first, cursor)
  MonotonicTime last_sent;    // events or heartbeat
  Run run;                    // as its client was told
  RunBegin log_run;           // that the log was in when it was read last

  // Of a durable consumer.
  std::string consumer;
  std::unique_ptr<HeldName> name;
  std::shared_ptr<void> claiming;  // while the core is asked for the name: gone with the subscription

  // While the log is being opened at a start.
  std::optional<ReplayStart> opening;
  std::string request_id;

  std::shared_ptr<LogPlace> log;      // stands at `cursor`, or behind `ready`; null while the cache is enough
  std::shared_ptr<const Body> ready;  // read from the log, to be sent next
  bool announced = false;             // what `ready` leaves out has been told
  bool reading = false;               // a replay thread has `log`, and `lookahead` if there is one
  bool log_ran_dry = false;           // the log has not what is wanted yet: ask again at the next tick
  bool caught_up = false;             // has been where memory is: the log is a fall-back from now on

  // Under `conflate`, while it is behind its bound: `log` is the look-ahead's.
  std::shared_ptr<Lookahead> lookahead;
  bool lookahead_failed = false;  // the log could not be read: an ordinary read tells why, or goes on
  // Under `disconnect`: has been within its bound, which holds from then on. What its start asked for is no slowness.
  bool within_bound = false;

  // By publisher, the last sequence in [first, cursor).
  std::vector<std::pair<PublisherId, Sequence>> sequences;

  // Until it is known where it begins: the subscribe request has not been answered.
  [[nodiscard]] bool pending() const { return opening || claiming; }
  // How far it has come: what is held back for a batch, or read and about to be sent, is not its client's slowness.
  [[nodiscard]] Offset place() const {
    if (batch && batch->open) return batch->open->next;
    if (batch && batch->from_log) return batch->from_log->next;
    return ready ? ready->next : cursor;
  }
  [[nodiscard]] std::uint64_t behind(Offset head) const { return head > place() ? head - place() : 0; }
  [[nodiscard]] bool to_be_conflated(Offset head) const {
    return slow.kind == protocol::SlowPolicy::Kind::conflate && !view.plan && behind(head) > slow.queue;
  }
  // What the log never had, between the cursor and the end of `body`, which begins at the cursor.
  [[nodiscard]] std::vector<MissingEvents> missing_in(const Body& body) const;
  // Of the replays that may be under way at once: what it has read and not sent holds one already.
  [[nodiscard]] std::shared_ptr<void> slot() const {
    if (batch && batch->from_log) return batch->from_log->slot;
    return ready ? ready->slot : nullptr;
  }
  void leave_log() {
    log.reset();
    if (batch) batch->from_log.reset();
  }
  // A new run of the log begins at `run_begin`, at the cursor or behind it: what was read, measured or planned ahead of
  // the cursor may have been taken back. What there is now is read anew.
  void begin_run(Offset run_begin);
  // Moves the cursor to the end of `body` and returns what its events are to the books.
  Books pass(const Body& body);
  // Moves it over what retention deleted, and returns how many those are.
  Books skip_to(Offset first_there_is);
};

// The offset that a start names, if it names one.
[[nodiscard]] std::optional<Offset> offset_of(const ReplayStart& start);

// A piece of work for a replay thread: opens the log if need be, reads about a message's worth.
struct ReplayRead {
  std::size_t topic = 0;
  ReplayStart start;
  std::shared_ptr<LogPlace> log;  // null: open at `start`
  std::shared_ptr<Body> body;     // null, or what to go on with
  View view;
  std::shared_ptr<Lookahead> lookahead;  // only looks, from its place on
  bool skip_deleted = false;             // begins at the first event there is if what is wanted is deleted
  const schemas::EventType* type = nullptr;
  Limit limit;
  std::size_t offsets_max = SIZE_MAX;
  std::shared_ptr<void> slot;
};
struct ReplayChunk {
  std::shared_ptr<LogPlace> log;
  std::shared_ptr<Body> body;  // null after a look ahead
  std::uint64_t looked_at = 0;
  bool complete = false;  // full, or as far as the log goes; else others had their turn
};
[[nodiscard]] Result<ReplayChunk> read_log(EventSource& source, Counters& counters, ReplayRead work);

}  // namespace millrace::gateway
