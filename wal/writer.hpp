// Writes one topic's log. The only writer of its folder: a second one is refused (in_use).
//
// One thread at a time calls a Writer; only SyncTicket::run may run on another thread meanwhile, one ticket at a time.
// A failed write or sync poisons it: every later call answers the same error, offsets do not move, until
// reopen_after_failure().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/limits.hpp"
#include "wal/index.hpp"
#include "wal/recovery.hpp"

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

// Whether a sync of one segment has failed. The kernel says so once: whoever syncs the file again is told that all is
// well, though the disk never got it.
struct SyncFailure {
  std::mutex mutex;  // held during a sync
  std::optional<Error> error;
};

// What one sync will make durable. Copyable; keeps its file open.
class SyncTicket {
 public:
  // The blocking middle; touches nothing of the Writer. May run on any thread.
  [[nodiscard]] Status run() const;
  [[nodiscard]] Offset end() const { return end_; }  // first offset that this sync does not cover

 private:
  friend class Writer;
  std::shared_ptr<File> file_;
  std::shared_ptr<SyncFailure> failure_;  // of the file
  SegmentNumber segment_;
  std::uint64_t bytes_ = 0;
  Offset end_;
  std::uint64_t life_ = 0;
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
  // each; first is the publisher's last recorded + 1 (else sequence_error). no_space: nothing changed, try again.
  [[nodiscard]] Result<Recorded> append(PublisherId publisher, Epoch epoch, Sequence first, std::uint32_t count,
                                        Bytes frames, WallTime now);
  // The publisher's events from..to (included) will never be in the log.
  [[nodiscard]] Status append_gap(PublisherId publisher, Sequence from, Sequence to, std::uint32_t reason,
                                  WallTime now);

  // Whether to sync now. Call it every step: the linger begins at the first call that finds something unsynced.
  [[nodiscard]] bool sync_due(MonotonicTime now, bool somebody_waits);
  [[nodiscard]] SyncTicket begin_sync();
  // Gives back how `ticket.run()` ended. A ticket from before a reopen is ignored.
  void complete_sync(const SyncTicket& ticket, const Status& result);
  [[nodiscard]] bool is_stale(const SyncTicket& ticket) const { return ticket.life_ != life_; }
  [[nodiscard]] Status sync();  // begin, run and complete in one

  // Call when idle: writes a little of the next segment. True: there is more to do. no_space is no failure.
  [[nodiscard]] Result<bool> prepare_next_segment();
  // Goes on from synced_end() in a new segment; the caller appends again what was not synced.
  [[nodiscard]] Status reopen_after_failure(WallTime now, Rewrite rewrite);
  // Deletes the oldest sealed segments until what stays is at most `bytes_max`. The number deleted.
  [[nodiscard]] Result<std::size_t> retain(std::uint64_t bytes_max);
  // Deletes the oldest sealed segments as long as all their events were recorded before `oldest`. Of what an earlier
  // run wrote only when the next segment began is known, which is later. The number deleted.
  [[nodiscard]] Result<std::size_t> retain_since(WallTime oldest);

 private:
  struct Prepared {
    std::shared_ptr<File> file;
    std::uint64_t written = 0;  // of the blocks that are to be written before
  };

  struct Sealed {
    SegmentName name;
    WallTime newest;  // no event in it was recorded later
  };

  Writer(FileSystem& files, std::string folder, const WriterOptions& options)
      : files_(&files), folder_(std::move(folder)), options_(options) {}

  [[nodiscard]] Status start(const LogState& state, Run run, WallTime now);
  [[nodiscard]] Status begin_segment(WallTime now, const SegmentHeader& previous);
  [[nodiscard]] Status make_prepared();
  [[nodiscard]] Status write_again(const LogState& state);
  [[nodiscard]] Status clear_void_files();
  void rebuild_indexes(const std::vector<Link>& chain);
  [[nodiscard]] bool recycle(const std::string& file_path);
  [[nodiscard]] Status delete_oldest();
  [[nodiscard]] Status roll(WallTime now);
  [[nodiscard]] Status write(BatchHeader header, Bytes body, WallTime now);
  [[nodiscard]] Status make_room(std::uint64_t bytes, WallTime now);
  tl::unexpected<Error> poison(const Error& error);
  [[nodiscard]] std::string path(const std::string& name) const { return join(folder_, name); }

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

  SegmentName name_;  // the open segment
  SegmentNumber number_max_;
  std::shared_ptr<File> file_;
  std::shared_ptr<SyncFailure> sync_failure_;  // of file_
  Place place_;
  IndexBuilder index_;
  Offset next_offset_;
  std::int64_t record_time_ = 0;

  KnownEnd synced_{};  // in the open segment
  Offset synced_end_;
  std::optional<MonotonicTime> unsynced_since_;
  std::uint64_t life_ = 0;  // up by one at each reopen
  std::optional<Error> failure_;
  Prepared prepared_;
};

}  // namespace millrace::wal
