// Records one topic: takes what publishers committed, copies it, checks the copy, appends it to the log, and tells
// followers through the order ring and the watermarks. No thread of its own: the core's disk thread steps it, tests do
// so by hand.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/recorder/frame_run.hpp"
#include "bus/ring/order_ring.hpp"
#include "bus/ring/pages.hpp"
#include "bus/ring/reader.hpp"
#include "bus/ring/watermarks.hpp"
#include "wal/writer.hpp"

namespace millrace {

// What a publishing process is admitted with. Its epoch is on the disk before it is granted.
struct Admission {
  PublisherId publisher;
  Epoch epoch;
  Sequence last_sequence;
};

// Whether the log may declare events lost, which were never synced: live_only gives them up when the disk stands still;
// without syncing their pages are gone when it fails. Elsewhere a sequence that jumps is an error.
[[nodiscard]] constexpr bool may_lose(ring::StallPolicy stall, wal::SyncPolicy sync) {
  return stall == ring::StallPolicy::live_only || sync == wal::SyncPolicy::none;
}

class TopicRecorder {
 public:
  enum class State {
    ok,
    no_space,  // the disk is full: nothing is lost, publishers meet the stall policy
    failed,    // a write or sync failed: nothing more is recorded until the topic is reopened
  };
  struct Counters {
    std::uint64_t events = 0;
    std::uint64_t bytes = 0;  // of frames
    std::uint64_t batches = 0;
    std::uint64_t syncs = 0;
    std::uint64_t duplicates = 0;       // events offered again that the log had
    std::uint64_t not_recorded = 0;     // events that were declared lost
    std::uint64_t sequence_errors = 0;  // publishers stopped for a sequence that does not follow
    std::uint64_t malformed = 0;        // publishers stopped for bytes that are no frames
    std::uint64_t housekeeping_failures = 0;
  };
  // Everything outlives the recorder. `pages`: one a stream, whose ring it records.
  struct Memory {
    std::vector<ring::Pages*> pages;
    std::span<std::byte> order;
    std::size_t order_capacity;
    ring::Watermarks* marks;
  };
  struct Policies {
    ring::StallPolicy stall = ring::StallPolicy::block;
    wal::SyncPolicy sync = wal::SyncPolicy::always;  // none: pages are held until they are recorded, else until synced
    std::uint64_t retention_bytes = 0;               // 0: no limit
    std::chrono::nanoseconds retention_age{0};       // 0: no limit
    std::chrono::nanoseconds compress_after{0};      // 0: never
    // Bytes that stay free on the log's file system: what is oldest goes before. nullopt: as wal::usual_floor().
    std::optional<std::uint64_t> free_space_floor = 0;
    bool retention_consumers = true;  // what a durable consumer still wants is not deleted for its age
  };

  TopicRecorder(std::string topic, wal::Writer writer, Memory memory, Policies policies);
  TopicRecorder(const TopicRecorder&) = delete;

  // The words that pin the pages this recorder reads, one a stream: add them to each ring's leases.
  [[nodiscard]] const ring::Word* lease(std::size_t stream) const { return &leases_[stream]; }

  // Records what there is, at most a page a stream. Returns the number of events.
  std::uint64_t do_work(WallTime now);

  using Chore = std::variant<wal::PrepareTicket, wal::DeleteTicket, wal::CareTicket>;
  enum class Sync {
    when_due,  // by policy, or because somebody waits
    now,       // whatever is unsynced
  };
  // A sync, unless there is none to do or one is under way. Its run() may block and belongs on another thread;
  // complete_sync() takes it back here.
  [[nodiscard]] std::optional<wal::SyncTicket> take_sync(MonotonicTime now, Sync when = Sync::when_due);
  // Somebody waits for a sync.
  [[nodiscard]] bool awaited() const;
  // Something is recorded that is not known to be synced.
  [[nodiscard]] bool unsynced() const;
  // One from before a reopen is ignored.
  void complete_sync(const wal::SyncTicket& ticket, const Status& status);

  // After a failure: goes on in a new segment behind the last synced event. What was recorded behind it is written
  // again from the pages, which are still held: in the same order, so that every event keeps its offset and its time.
  // Only where pages are gone (may_lose()) are offsets given out again, in a new run of the log, and the lost events
  // declared. May block.
  [[nodiscard]] Status reopen(WallTime now);

  // The next piece of housekeeping: a step towards the next segment's file, the deletion of one beyond the policy's
  // bytes or age, or a step of care for a sealed one. Its run() may block and belongs on a thread of its own;
  // complete_housekeeping() takes it back here. `idle`: also what nobody needs soon. nullopt: there is none, one is
  // under way, or one failed a moment ago. A failure never closes the topic by itself: it is told and tried again. What
  // waits for it is back pressure.
  [[nodiscard]] std::optional<Chore> take_housekeeping(MonotonicTime now, WallTime wall, bool idle);
  void complete_housekeeping(const Chore& chore, const Status& status, MonotonicTime now);
  // Nothing more is recorded until the next segment is begun; or until housekeeping gave it a file.
  [[nodiscard]] bool roll_waits() const { return state_ == State::ok && writer_.roll_waits(); }
  [[nodiscard]] bool roll_waits_for_file() const { return state_ != State::failed && writer_.roll_waits_for_file(); }
  // Which durable consumers will soon be overrun; looked at a few times a second, while there are any.
  [[nodiscard]] const wal::OverrunEdges& overrun_edges() const { return overrun_edges_; }
  // Why a piece of housekeeping failed; empty once it is done.
  [[nodiscard]] const std::string& housekeeping_failure() const { return housekeeping_failure_; }

  // Everything up to page `before` of the stream, exclusive, has been recorded.
  [[nodiscard]] bool drained(std::size_t stream, PageNumber before) const;
  // Nothing that was published under the name waits to be recorded, in whatever stream it had: only then may its next
  // epoch begin. Nobody holds the name.
  [[nodiscard]] bool drained(const std::string& name) const;
  // Gives a name to a publishing process: the same epoch to an incarnation that had it, the next one to a new one.
  // May be granted once admission_synced(). Errors: what the log says.
  [[nodiscard]] Result<Admission> admit(std::size_t stream, const std::string& name, Incarnation incarnation,
                                        WallTime now);
  [[nodiscard]] bool admission_synced() const { return admissions_ == admissions_synced_; }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  // Why the publisher of each stream is not recorded any more: what it wrote; empty if all is well.
  [[nodiscard]] std::vector<std::string> stopped() const;
  [[nodiscard]] wal::Writer& log() { return writer_; }
  [[nodiscard]] Offset first_offset() const { return writer_.first_offset(); }  // the oldest event there is
  [[nodiscard]] const std::string& topic() const { return topic_; }

 private:
  struct Stream {
    ring::Reader reader;
    PublisherId publisher{};
    Epoch epoch{};
    std::string stopped{};      // why nothing more of this publisher is recorded; empty if all is well
    PageNumber syncing_page{};  // where it stood when the sync under way began
    PageNumber synced_page{};   // the first page that holds something unsynced
  };
  // A batch that is recorded but not synced, copied out of its page.
  struct Unsynced {
    ring::OrderEntry entry;
    std::vector<std::byte> frames;
  };

  std::uint64_t record(std::size_t index, WallTime now);
  [[nodiscard]] bool append(std::size_t index, const FrameRun& run, Sequence& last, WallTime now);
  [[nodiscard]] bool declare_lost(std::size_t index, Sequence& last, Sequence to, WallTime now);
  void stop(Stream& stream, const FrameRun& run, Sequence last);
  // All that is recorded and not synced, in log order; nullopt if some of it is gone.
  [[nodiscard]] std::optional<std::vector<Unsynced>> unsynced_batches();
  static void go_back(Stream& stream, PageNumber page, std::uint32_t consumed);
  // A reopening's two ways: see reopen().
  void begin_anew();
  [[nodiscard]] Status write_again(const std::vector<Unsynced>& batches, const std::map<PublisherId, Sequence>& told,
                                   WallTime now);
  void begin_run();
  void announce() const;
  void show_synced();
  void fail_with(const Error& error);
  void close(const Error& error);
  void count_failure(bool failed) const;
  [[nodiscard]] wal::RetentionLimits retention_limits(WallTime wall) const;
  [[nodiscard]] wal::RetentionFacts retention_facts() const;
  void look_at_space(MonotonicTime now);
  void ask_for_space();
  // As it was last asked for, with what was deleted since the last look, and what compression only borrows.
  [[nodiscard]] std::uint64_t free_bytes() const;

  std::string topic_;
  wal::Writer writer_;
  Memory memory_;
  Policies policies_;
  std::vector<ring::Word> leases_;
  ring::OrderWriter order_;
  std::vector<Stream> streams_;
  std::map<PublisherId, Sequence> last_;     // recorded of each publisher
  std::map<PublisherId, Sequence> syncing_;  // what the sync under way covers of each
  std::map<PublisherId, Sequence> synced_;
  std::vector<std::byte> copy_;  // 8-byte aligned, a page
  State state_ = State::ok;
  std::string failure_;
  Counters counters_;
  std::string housekeeping_failure_;
  std::optional<MonotonicTime> preparation_failed_;  // when
  std::optional<MonotonicTime> deletion_failed_;
  std::optional<MonotonicTime> care_failed_;
  std::optional<MonotonicTime> space_looked_at_;
  std::uint64_t free_floor_ = 0;
  std::uint64_t free_ = wal::no_limit;
  std::uint64_t freed_ = 0;  // by this topic since the last look
  wal::OverrunEdges overrun_edges_;
  MonotonicTime edges_looked_at_;
  MonotonicTime care_looked_for_;  // when there was none
  bool chore_out_ = false;
  bool sync_under_way_ = false;
  std::uint64_t admissions_ = 0;
  std::uint64_t admissions_syncing_ = 0;
  std::uint64_t admissions_synced_ = 0;
};

// Records what a dead core's ring holds and the log does not: called before anybody is admitted. Returns the number of
// events saved, which are synced.
[[nodiscard]] Result<std::uint64_t> salvage(const ring::Ring& ring, wal::Writer& log, bool may_lose, WallTime now);

}  // namespace millrace
