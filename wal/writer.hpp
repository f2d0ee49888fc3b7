// Writes one topic's log. The only writer of its folder: a second one is refused (in_use).
//
// One thread at a time calls a Writer; only the run() of its tickets may run on other threads meanwhile.
// A failed write or sync poisons it: every later call answers the same error, offsets do not move, until
// reopen_after_failure(). Preparing and deleting segments is housekeeping: where it fails, it is tried again.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/limits.hpp"
#include "wal/care.hpp"
#include "wal/index.hpp"
#include "wal/recovery.hpp"
#include "wal/retention.hpp"
#include "wal/tickets.hpp"

namespace millrace::wal {

enum class SyncPolicy {
  always,    // at once when somebody waits, else after the linger
  interval,  // every `interval`, whoever waits
  none,      // never, but for the end of a segment: the kernel writes when it likes
};

struct WriterOptions {
  std::uint64_t segment_size = limits::segment_size;
  SyncPolicy policy = SyncPolicy::always;
  std::chrono::nanoseconds interval{100'000'000};
  std::chrono::nanoseconds linger = limits::linger;
  std::uint64_t linger_bytes = limits::linger_bytes;
  bool recycle = true;          // retain() keeps a deleted segment's blocks for the next one
  std::optional<LogId> log_id;  // of a new log; random if empty (tests give one)
  // What the key of an event is: then care notes each sealed segment's last events. Null: it does not.
  std::shared_ptr<const KeyDefinition> keys{};
};

// How what a failure left unsynced will be appended again.
enum class Rewrite {
  same,  // every event at the offset, and with the time, that it had: the first one's is `now`
  anew,  // otherwise: offsets are given out again, in a new run
};

struct Recorded {
  Offset first_offset;
  std::uint32_t count;
  WallTime record_time;
};

// Where a Writer does what may stand still in the kernel without a publisher's fault: going on to the next segment,
// preparing and deleting segments.
enum class Housekeeping {
  here,       // in the call that needs it
  elsewhere,  // in tickets that the caller takes, runs on another thread and completes
};

class Writer {
 public:
  // `files` outlives the Writer. Makes the folder if need be, recovers the tail, begins run + 1 in a new segment that
  // is durable when this returns; the one before gives back the space that it did not need. recovered() says what is
  // lost. Errors: in_use, unsupported (another version), corrupt (nothing in the log can be read), no_space, io_failed.
  [[nodiscard]] static Result<Writer> open(FileSystem& files, const std::string& folder, const WriterOptions& options,
                                           WallTime now);

  [[nodiscard]] LogId log_id() const { return log_id_; }
  [[nodiscard]] Run run() const { return run_; }
  [[nodiscard]] Offset run_begin() const { return run_begin_; }  // the first offset of the run
  // The oldest event there is.
  [[nodiscard]] Offset first_offset() const {
    return sealed_.empty() ? name_.first_offset : sealed_.front().name.first_offset;
  }
  [[nodiscard]] Offset next_offset() const { return next_offset_; }
  [[nodiscard]] Offset synced_end() const { return synced_end_; }  // first offset that is not synced
  [[nodiscard]] std::uint64_t unsynced_bytes() const { return place_.at - synced_.byte; }
  [[nodiscard]] const std::vector<PublisherEntry>& publishers() const { return publishers_; }
  [[nodiscard]] const RecoveryReport& recovered() const { return recovered_; }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

  // Not granted before it is synced.
  [[nodiscard]] Status append_publisher(const PublisherEntry& entry, WallTime now);
  // One batch. `frames` was copied and verified by the caller and holds `count` frames from `first` on, one sequence
  // each; first is the publisher's last recorded + 1 (else sequence_error). no_space, and not_ready where housekeeping
  // is elsewhere and the next segment is not begun yet: nothing changed, try again.
  [[nodiscard]] Result<Recorded> append(PublisherId publisher, Epoch epoch, Sequence first, std::uint32_t count,
                                        Bytes frames, WallTime now);
  // The publisher's events from..to (included) will never be in the log.
  [[nodiscard]] Status append_gap(PublisherId publisher, Sequence from, Sequence to, std::uint32_t reason,
                                  WallTime now);

  // Whether to sync now. Call it every step: the linger begins at the first call that finds something unsynced.
  [[nodiscard]] bool sync_due(MonotonicTime now, bool somebody_waits);
  // Where housekeeping is elsewhere and the segment is full, the ticket goes on to the next one, too.
  [[nodiscard]] SyncTicket begin_sync();
  // Gives back how `ticket.run()` ended. Of a ticket from before a reopen only what it made is removed.
  void complete_sync(const SyncTicket& ticket, const Status& result);
  [[nodiscard]] bool is_stale(const SyncTicket& ticket) const { return ticket.life_ != life_; }
  [[nodiscard]] Status sync();  // begin, run and complete in one

  void set_housekeeping(Housekeeping where) { housekeeping_ = where; }
  // An append answered not_ready: the next segment is being begun, or waits for its file.
  [[nodiscard]] bool roll_waits() const { return rolling_ || roll_wanted_; }
  [[nodiscard]] bool rolling() const { return rolling_; }  // its ticket is out
  [[nodiscard]] bool roll_waits_for_file() const { return roll_wanted_ && !prepared_.file; }

  // The next step towards the next segment's file; `zeros`: also the long part, which makes later writes faster, but
  // costs a sync of 4 MiB a step. nullopt: there is none to do, or one or a roll is under way.
  [[nodiscard]] std::optional<PrepareTicket> take_preparation(bool zeros);
  // The failure, if it was this life's. The third in a row that is not no_space poisons if a roll waits.
  [[nodiscard]] Status complete_preparation(const PrepareTicket& ticket, const Status& result);
  // The oldest sealed segment, if it is to be deleted: see retention.hpp; `facts.bytes` is not asked for. (Of what an
  // earlier run wrote only when the next segment began is known, which is later than its newest event.) The log begins
  // behind it at once. nullopt: there is none to delete, or one or a roll is under way. One that failed comes again.
  [[nodiscard]] std::optional<DeleteTicket> take_deletion(const RetentionLimits& limits, RetentionFacts facts);
  [[nodiscard]] std::optional<DeleteTicket> take_deletion(std::uint64_t bytes_max, WallTime oldest) {
    return take_deletion({0, bytes_max, oldest}, {});
  }
  [[nodiscard]] Status complete_deletion(const DeleteTicket& ticket, const Status& result);
  [[nodiscard]] std::vector<SegmentFacts> sealed_facts() const;  // oldest first
  [[nodiscard]] OverrunEdges overrun_edges(const RetentionFacts& facts, const RetentionLimits& limits) const {
    return wal::overrun_edges(sealed_facts(), name_.first_offset, place_.at, facts, limits);
  }
  [[nodiscard]] Result<Space> space() const { return files_->space(folder_); }
  [[nodiscard]] bool has_sealed() const { return !sealed_.empty(); }
  [[nodiscard]] std::uint64_t segment_size() const { return options_.segment_size; }
  // What care under way takes for a while, of which nothing stays: done, it takes the place of the segment's own file.
  [[nodiscard]] std::uint64_t half_made_bytes() const;

  // The next step of care for a sealed segment, the oldest first: see care.hpp. Segments all of whose events were
  // recorded before `cold` are compressed. Not `idle`: only where many segments wait to be sealed. nullopt: there is
  // none to do, or one is out, or a roll is under way. One that failed comes again, after the others had their turn.
  [[nodiscard]] std::optional<CareTicket> take_care(WallTime cold, bool idle = true);
  [[nodiscard]] Status complete_care(const CareTicket& ticket, const Status& result);

  // The same in one call each, here. Call when idle: writes a little of the next segment. True: there is more to do.
  [[nodiscard]] Result<bool> prepare_next_segment();
  // Deletes until there is no more to delete. The number deleted.
  [[nodiscard]] Result<std::size_t> retain(std::uint64_t bytes_max);
  [[nodiscard]] Result<std::size_t> retain_since(WallTime oldest);

  // Goes on from synced_end() in a new segment; the caller appends again what was not synced. Housekeeping is here
  // until it is set again, tickets from before count no more.
  [[nodiscard]] Status reopen_after_failure(WallTime now, Rewrite rewrite);

 private:
  struct Prepared {
    std::shared_ptr<LogFile> file;
    std::uint64_t written = 0;  // of the blocks that are to be written before
  };

  struct Sealed {
    SegmentName name;
    WallTime newest;                   // no event in it was recorded later
    std::optional<std::uint64_t> end;  // unknown where its successor's header is bad
    std::uint64_t bytes = 0;           // that its file takes
    CareSet cared{};
    bool care_failed = false;  // the last time
  };

  Writer(FileSystem& files, std::string folder, const WriterOptions& options)
      : files_(&files), folder_(std::move(folder)), options_(options) {}

  [[nodiscard]] Status start(LogState& state, Run run, WallTime now);
  [[nodiscard]] Status make_prepared();
  [[nodiscard]] Status write_again(const LogState& state);
  [[nodiscard]] Roll begin_roll(WallTime now, const SegmentHeader& previous);
  void adopt(const Roll& roll);
  [[nodiscard]] Status clear_void_files();
  void rebuild_indexes(const std::vector<Link>& links);
  void look_at_sealed(const std::vector<std::string>& names);
  void count_sealed();
  [[nodiscard]] SegmentFacts facts_of(std::size_t i) const;  // of a sealed one
  [[nodiscard]] std::vector<Sealed>::const_iterator sealed_from(SegmentNumber number) const;
  [[nodiscard]] CareOf care_of(const Sealed& sealed) const;
  [[nodiscard]] std::optional<CareTicket> next_care(WallTime cold, bool idle);
  [[nodiscard]] PrepareTicket preparation() const;
  [[nodiscard]] Result<std::size_t> delete_all(std::uint64_t bytes_max, WallTime oldest);
  [[nodiscard]] Status roll(WallTime now);
  [[nodiscard]] Status write(BatchHeader header, Bytes body, WallTime now);
  [[nodiscard]] Status make_room(std::uint64_t bytes, WallTime now);
  tl::unexpected<Error> poison(const Error& error);
  [[nodiscard]] std::string path(const std::string& name) const { return join(folder_, name); }
  // Another one in each life: a late ticket of the life before has its own.
  [[nodiscard]] std::string prepared_name() const;

  FileSystem* files_;
  std::string folder_;
  WriterOptions options_;
  std::unique_ptr<File> lock_;
  LogId log_id_;
  Run run_;
  Offset run_begin_;
  std::vector<PublisherEntry> publishers_;
  RecoveryReport recovered_;
  std::vector<Sealed> sealed_;  // oldest first
  std::uint64_t sealed_bytes_ = 0;

  SegmentName name_;  // the open segment
  SegmentNumber number_max_;
  std::shared_ptr<LogFile> file_;
  Place place_;
  IndexBuilder index_;
  Offset next_offset_;
  std::int64_t record_time_ = 0;

  KnownEnd synced_{};  // in the open segment
  Offset synced_end_;
  std::optional<MonotonicTime> unsynced_since_;
  std::uint64_t life_ = 0;  // up by one at each reopen
  std::optional<Error> failure_;

  Housekeeping housekeeping_ = Housekeeping::here;
  Prepared prepared_;
  bool preparing_ = false;           // a ticket is out that may make the prepared file
  bool preparation_failed_ = false;  // the last one
  int preparations_failed_ = 0;      // in a row, for another reason than space
  std::optional<WallTime> roll_wanted_;
  bool rolling_ = false;                 // its ticket is out
  std::optional<SegmentName> deleting_;  // not in sealed_ any more
  std::uint64_t deleting_bytes_ = 0;
  bool deletion_out_ = false;
  // Under way, between its steps; of each kind one, so that what waits for a quiet moment holds up no seal.
  std::array<std::optional<CareTicket>, care_kinds> care_;
  std::optional<SegmentName> care_out_;  // whose ticket is out, perhaps one of an earlier life
};

}  // namespace millrace::wal
