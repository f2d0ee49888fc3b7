// Reads a topic's log, oldest to newest, also while it is being written; needs no daemon and writes nothing.
//
// One thread at a time. A reader keeps its segment from being recycled, and survives its deletion.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/frame.hpp"
#include "wal/recovery.hpp"

namespace millrace::wal {

struct GapView {
  Sequence from;
  Sequence to;  // included
  std::uint32_t reason;
};

// One checked batch. Valid until the next call on its Reader.
struct BatchView {
  BatchKind kind;
  Offset first_offset;  // of the next event, if this batch has none
  PublisherId publisher;
  Epoch epoch;
  Sequence first_sequence;
  std::uint32_t count;
  WallTime record_time;
  Run run;
  Bytes body;  // kind `events`: the frames

  [[nodiscard]] Offset next_offset() const { return first_offset + count; }
  [[nodiscard]] GapView gap() const;                     // kind `gap`
  [[nodiscard]] Result<PublisherEntry> granted() const;  // kind `publisher`
};

// The events of a batch from offset `from` on.
class EventCursor {
 public:
  explicit EventCursor(const BatchView& batch, Offset from = Offset(0))
      : cursor_(batch.kind == BatchKind::events ? batch.body : Bytes()), offset_(batch.first_offset), from_(from) {}

  struct Event {
    Offset offset;
    FrameView frame;
  };
  [[nodiscard]] std::optional<Event> next() {
    while (const auto frame = cursor_.next()) {
      const Offset offset = offset_;
      ++offset_;
      if (offset >= from_) return Event{offset, *frame};
    }
    return std::nullopt;
  }
  [[nodiscard]] bool malformed() const { return cursor_.malformed(); }

 private:
  FrameCursor cursor_;
  Offset offset_;
  Offset from_;
};

class Reader {
 public:
  // Begins at the first offset. `files` outlives the Reader. Errors: not_found (no log there yet), unsupported.
  // ReadMode::mapped: no copy, but a sector that cannot be read kills this process with SIGBUS.
  [[nodiscard]] static Result<Reader> open(FileSystem& files, const std::string& folder,
                                           ReadMode mode = ReadMode::pread);

  [[nodiscard]] LogId log_id() const { return log_id_; }
  [[nodiscard]] Offset first_offset() const { return chain_.name(0).first_offset; }
  [[nodiscard]] Offset position() const { return wanted_; }  // the next event's offset
  // Where the next run begins, if there is one: offsets of `run` from there on were taken back. As of the last call
  // that read the folder (open() does); reads about log2(segments) headers.
  [[nodiscard]] Result<std::optional<Offset>> end_of_run(Run run);
  // One past the last event there is now; reads what is new in the newest segment since it was last asked.
  [[nodiscard]] Result<Offset> end_offset();
  [[nodiscard]] Result<std::vector<PublisherEntry>> publishers();  // as of end_offset()

  // The next batch is the one that holds `offset` (it may begin before: EventCursor skips). Past the end is allowed:
  // events before it are then skipped as they come. Errors: deleted (before first_offset). Reads the headers of the
  // segment and of a few beside it, and one index.
  [[nodiscard]] Status seek(Offset offset);
  // To the first batch that was recorded at `time` or later. Reads about log2(segments) headers, and one index.
  [[nodiscard]] Status seek_time(WallTime time);

  // nullopt: no more yet; ask again. Errors: corrupt (corruption() says what is lost; the next call goes on behind
  // it), deleted, rolled_back (a later run gave offsets out again that this reader had passed), io_failed.
  // No event at or past `end` begins a batch given; who knows the recorded watermark gives it: then the tail costs
  // nothing. Without it a tail costs a look at the next batch, at a few KiB behind it and at one file name.
  [[nodiscard]] Result<std::optional<BatchView>> next(std::optional<Offset> end = std::nullopt);
  [[nodiscard]] const std::optional<Corruption>& corruption() const { return corruption_; }

 private:
  struct Tail {
    SegmentReader segment;
    Place place;
    LookBehind look;
  };

  Reader(FileSystem& files, std::string folder, ReadMode mode)
      : files_(&files), folder_(std::move(folder)), mode_(mode), chain_(files, folder_) {}
  [[nodiscard]] Status refresh();  // the chain
  // What `go` answers on a fresh chain (on the one there is, if not `listed`); where a segment was deleted meanwhile,
  // once more on a newer one.
  template <class Go>
  [[nodiscard]] auto retried(const Go& go, bool listed = true) -> decltype(go());
  [[nodiscard]] Status enter(std::size_t link, bool from_begin);
  // To the segment that continues this one, if there is one; `expected`: there should be.
  [[nodiscard]] Result<bool> advance(bool expected);
  [[nodiscard]] Result<bool> go_on();
  // Moves to the last batch whose entry is `before`, by the index as far as there is one, then by headers.
  template <class Before>
  [[nodiscard]] Status jump(const Before& before);
  [[nodiscard]] tl::unexpected<Error> report(const Corruption& corruption);

  FileSystem* files_;
  std::string folder_;
  ReadMode mode_;
  LogId log_id_;
  Chain chain_;
  std::optional<SegmentReader> segment_;
  Run run_;
  Place place_;
  Bound bound_;
  Offset wanted_;
  // The search for a proof that a bad batch at the tail was synced: all of the segment at the first tail, then a little
  // each time.
  bool searched_ = false;
  LookBehind look_;
  std::uint64_t tail_polls_ = 0;
  std::optional<Corruption> corruption_;
  std::optional<Tail> tail_;  // once end_offset() was asked
};

}  // namespace millrace::wal
