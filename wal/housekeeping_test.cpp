// Proves that a log whose segments are prepared, begun and deleted by tickets, run at any moment between the Writer's
// own calls, is always right: after a crash, after a failure, and with tickets that come too late.
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <variant>

#include "wal/fault_file_system.hpp"
#include "wal/seals.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

Result<Writer> begin_elsewhere(FaultFileSystem& files, const WriterOptions& options = small_segments()) {
  auto writer = begin(files, options);
  if (writer) writer->set_housekeeping(Housekeeping::elsewhere);
  return writer;
}

// Appends until the segment is full.
void fill(Writer& writer) {
  Status added;
  while ((added = add(writer, 10))) {
  }
  ASSERT_EQ(added.error().code, ErrorCode::not_ready);
}
Status sync_by_ticket(Writer& writer) {
  const SyncTicket ticket = writer.begin_sync();
  const Status done = ticket.run();
  writer.complete_sync(ticket, done);
  return done;
}
Status prepare_by_ticket(Writer& writer) {
  auto ticket = writer.take_preparation(false);
  if (!ticket) return fail(ErrorCode::internal, "there is nothing to prepare");
  const Status done = ticket->run();
  return writer.complete_preparation(*ticket, done);
}
std::vector<std::string> names(FaultFileSystem& files) {
  return files.list("t").value();
}
bool has_prepared(FaultFileSystem& files) {
  const auto all = names(files);
  return std::any_of(all.begin(), all.end(), [](const std::string& name) { return name.starts_with("prepared"); });
}

TEST(Housekeeping, AFullSegmentWaitsForItsSuccessorAndNothingIsDoneMeanwhile) {
  FaultFileSystem files;
  auto writer = begin_elsewhere(files);
  ASSERT_TRUE(writer->sync());
  fill(*writer);
  const Offset end = writer->next_offset();
  EXPECT_TRUE(writer->roll_waits_for_file());
  EXPECT_FALSE(writer->sync_due(MonotonicTime{1}, false)) << "there is no file to go on to";
  files.fail_at(~0ull, ErrorCode::io_failed);
  EXPECT_EQ(add(*writer, 10).error().code, ErrorCode::not_ready);
  auto preparation = writer->take_preparation(true);
  ASSERT_TRUE(preparation);
  EXPECT_FALSE(writer->take_preparation(true)) << "one at a time";
  EXPECT_EQ(files.operations(), 0u);
  ASSERT_TRUE(preparation->run());
  ASSERT_TRUE(writer->complete_preparation(*preparation, {}));
  EXPECT_FALSE(writer->take_preparation(true)) << "nobody writes zeros to a file that is waited for";
  EXPECT_FALSE(writer->roll_waits_for_file());
  EXPECT_TRUE(writer->sync_due(MonotonicTime{1}, false));
  const SyncTicket roll = writer->begin_sync();
  EXPECT_TRUE(writer->rolling());
  EXPECT_EQ(add(*writer, 1).error().code, ErrorCode::not_ready) << "though it would fit";
  EXPECT_FALSE(writer->take_preparation(true)) << "the prepared file's name is still taken";
  const Status done = roll.run();
  ASSERT_TRUE(done);
  EXPECT_EQ(add(*writer, 1).error().code, ErrorCode::not_ready);
  writer->complete_sync(roll, done);
  EXPECT_FALSE(writer->roll_waits());
  EXPECT_EQ(writer->synced_end(), end) << "all of the segment before is on the disk";
  EXPECT_EQ(writer->next_offset(), end);
  ASSERT_TRUE(add(*writer, 10));
  EXPECT_EQ(segment_paths(files).size(), 2u);
  EXPECT_TRUE(read_log(files).is(0, end.value() + 10));
}

TEST(Housekeeping, ARollNeverTakesAFailedSyncForDone) {
  // A sync fails on its thread, and before the Writer is told the segment rolls: the kernel would say that all is well.
  for (const Housekeeping where : {Housekeeping::here, Housekeeping::elsewhere}) {
    FaultFileSystem files;
    auto writer = begin(files);
    ASSERT_TRUE(add(*writer, 10));
    const SyncTicket sync = writer->begin_sync();
    files.fail_at(0, ErrorCode::io_failed);
    const Status failed = sync.run();
    EXPECT_FALSE(failed);
    files.heal();
    writer->set_housekeeping(where);
    Status rolled;
    while ((rolled = add(*writer, 10)) && segment_paths(files).size() == 1) {
    }
    if (where == Housekeeping::elsewhere) {
      ASSERT_TRUE(prepare_by_ticket(*writer));
      rolled = sync_by_ticket(*writer);
    }
    ASSERT_FALSE(rolled);
    EXPECT_EQ(rolled.error().code, ErrorCode::io_failed);
    EXPECT_TRUE(writer->failure());
    EXPECT_EQ(segment_paths(files).size(), 1u);
    EXPECT_EQ(writer->synced_end(), Offset(0));
    writer->complete_sync(sync, failed);
  }
}

TEST(Housekeeping, WhatALateTicketMadeIsRemoved) {
  // Each of the three is under way when the log fails; it runs before or after the log is opened again.
  for (const bool before : {true, false}) {
    FaultFileSystem files;
    auto writer = begin_elsewhere(files);
    for (int segment = 0; segment < 3; ++segment) {
      fill(*writer);
      ASSERT_TRUE(prepare_by_ticket(*writer));
      ASSERT_TRUE(sync_by_ticket(*writer));
    }
    ASSERT_TRUE(add(*writer, 1));
    auto deletion = writer->take_deletion(1, WallTime{0});
    ASSERT_TRUE(deletion);
    fill(*writer);
    if (before) {
      ASSERT_TRUE(deletion->run());
    }
    const Offset synced = writer->synced_end();
    files.fail_at(0, ErrorCode::io_failed);
    EXPECT_FALSE(writer->sync());
    files.heal();
    ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
    ASSERT_EQ(writer->next_offset(), synced);
    if (!before) {
      ASSERT_TRUE(deletion->run());
    }
    ASSERT_TRUE(writer->complete_deletion(*deletion, {}));
    EXPECT_FALSE(has_prepared(files)) << "the recycled file belongs to nobody";

    // A preparation of this life, overtaken by the next.
    writer->set_housekeeping(Housekeeping::elsewhere);
    auto preparation = writer->take_preparation(true);
    ASSERT_TRUE(preparation);
    if (before) {
      ASSERT_TRUE(preparation->run());
    }
    ASSERT_TRUE(add(*writer, 1));
    files.fail_at(0, ErrorCode::io_failed);
    EXPECT_FALSE(writer->sync());
    files.heal();
    ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
    writer->set_housekeeping(Housekeeping::elsewhere);
    ASSERT_TRUE(prepare_by_ticket(*writer));
    if (!before) {
      ASSERT_TRUE(preparation->run());
    }
    ASSERT_TRUE(writer->complete_preparation(*preparation, {}));
    fill(*writer);

    // A roll.
    const SyncTicket roll = writer->begin_sync();
    ASSERT_TRUE(writer->rolling());
    if (before) {
      ASSERT_TRUE(roll.run());
    }
    ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
    const std::size_t segments = segment_paths(files).size();
    if (!before) (void)roll.run();
    writer->complete_sync(roll, {});
    EXPECT_FALSE(has_prepared(files));
    EXPECT_LE(segment_paths(files).size(), segments);
    ASSERT_TRUE(add(*writer, 20));
    const std::uint64_t end = writer->next_offset().value();
    const std::uint64_t first = Reader::open(files, "t")->first_offset().value();
    const auto reader_sees = [&] {
      auto reader = Reader::open(files, "t");
      return reader && read_all(*reader, Offset(first)).is(first, end);
    };
    EXPECT_TRUE(reader_sees());
    ASSERT_TRUE(writer->sync());
    files.crash(before);
    auto again = Writer::open(files, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->next_offset(), Offset(end));
    EXPECT_TRUE(again->recovered().corruptions.empty());
    EXPECT_TRUE(reader_sees());
  }
}

TEST(Housekeeping, APreparedFileWhoseSyncFailedIsGivenUpAndMadeAnew) {
  FaultFileSystem files;
  auto writer = begin_elsewhere(files);
  ASSERT_TRUE(prepare_by_ticket(*writer));
  const auto* first = files.bytes_of("t/prepared");
  ASSERT_NE(first, nullptr);
  auto zeros = writer->take_preparation(true);
  ASSERT_TRUE(zeros);
  files.fail_at(1, ErrorCode::io_failed);  // write, sync
  const Status failed = zeros->run();
  files.heal();
  EXPECT_EQ(writer->complete_preparation(*zeros, failed).error().code, ErrorCode::io_failed);
  EXPECT_FALSE(writer->failure()) << "nothing of the log is harmed";
  EXPECT_FALSE(has_prepared(files));
  fill(*writer);
  ASSERT_TRUE(prepare_by_ticket(*writer));
  ASSERT_TRUE(sync_by_ticket(*writer));
  ASSERT_TRUE(add(*writer, 10));
  // Where publishers wait, the third failure in a row is the topic's.
  fill(*writer);
  for (int i = 1; i <= 3; ++i) {
    files.fail_at(1, ErrorCode::io_failed);
    EXPECT_FALSE(prepare_by_ticket(*writer));
    EXPECT_EQ(writer->failure().has_value(), i == 3);
  }
  files.heal();
  ASSERT_TRUE(writer->reopen_after_failure(WallTime{1}, Rewrite::anew));
}

TEST(Housekeeping, ADeletionThatFailsIsTriedAgainBeforeTheNext) {
  // Every operation fails in turn, until a deletion meets no failure; and at each point the machine dies.
  for (const bool recycle : {true, false}) {
    for (std::uint64_t n = 0;; ++n) {
      FaultFileSystem files;
      WriterOptions options = small_segments();
      options.recycle = recycle;
      auto writer = begin(files, options);
      while (segment_paths(files).size() < 4) ASSERT_TRUE(add_synced(*writer, 10));
      const Offset end = writer->next_offset();
      const Offset first = writer->first_offset();
      auto ticket = writer->take_deletion(1, WallTime{0});
      ASSERT_TRUE(ticket);
      EXPECT_GT(writer->first_offset(), first) << "it is not the log's any more";
      EXPECT_FALSE(writer->take_deletion(1, WallTime{0})) << "one at a time";
      files.fail_at(n, ErrorCode::io_failed);
      const Status done = ticket->run();
      const bool failed = files.failed();
      files.heal();
      ASSERT_EQ(writer->complete_deletion(*ticket, done).has_value(), done.has_value());
      EXPECT_FALSE(writer->failure());
      if (n % 2 == 0) {
        ASSERT_TRUE(writer->retain(1));
        EXPECT_EQ(segment_paths(files).size(), 1u) << n;
        ASSERT_TRUE(add(*writer, 10));
      }
      ASSERT_TRUE(writer->sync());
      const Offset after = writer->next_offset();
      files.crash(n);
      auto again = Writer::open(files, "t", options, WallTime{1});
      ASSERT_TRUE(again) << n;
      EXPECT_TRUE(again->recovered().corruptions.empty()) << n << again->recovered().corruptions.front().message();
      EXPECT_EQ(again->next_offset(), after) << n;
      EXPECT_EQ(after, n % 2 == 0 ? end + 10 : end);
      if (!failed) break;
    }
  }
}

TEST(Housekeeping, WhereThereIsNoSpaceADeletionGoesBeforeThePreparationThatNeedsIt) {
  FaultFileSystem files;
  WriterOptions options = small_segments();
  options.recycle = false;
  auto writer = begin(files, options);
  while (segment_paths(files).size() < 4) ASSERT_TRUE(add(*writer, 10));
  writer->set_housekeeping(Housekeeping::elsewhere);
  EXPECT_FALSE(writer->take_deletion(1, WallTime{0})) << "the next segment's file comes first";
  files.fail_at(2, ErrorCode::no_space);  // delete, create, reserve
  EXPECT_EQ(prepare_by_ticket(*writer).error().code, ErrorCode::no_space);
  files.heal();
  EXPECT_TRUE(writer->take_deletion(1, WallTime{0}));
}

// One life of a writer whose tickets run, and are completed, whenever the seed says.
class Life {
 public:
  Life(Writer& writer, std::uint64_t seed) : writer_(writer), random_(seed) {}

  void step() {
    switch (random_() % 9) {
      case 0:
      case 1:
      case 2:
        if (writer_.failure()) break;
        last_ = 1 + static_cast<std::uint32_t>(random_() % 30);
        (void)add(writer_, last_);
        break;
      case 3:
        if (!syncing_ && !writer_.failure()) syncing_.emplace(writer_.begin_sync());
        break;
      case 4:
        if (!preparation_) preparation_ = from(writer_.take_preparation(random_() % 2 == 0));
        break;
      case 5:
        if (!deletion_) deletion_ = from(writer_.take_deletion(3 * 32768, WallTime{0}));
        break;
      case 6:
        if (random_() % 2 == 0 && syncing_) syncing_->run();
        if (random_() % 2 == 0 && preparation_) preparation_->run();
        if (random_() % 2 == 0 && deletion_) deletion_->run();
        if (random_() % 2 == 0 && care_) care_->run();
        break;
      case 7:
        complete();
        break;
      case 8:
        if (!care_) care_ = from(writer_.take_care(random_() % 2 == 0 ? WallTime{2} : WallTime{0}));
        break;
    }
  }
  // Events of a batch that failed in the middle: what was not written of it may be zeros, as it was before.
  [[nodiscard]] std::uint64_t perhaps_written() const { return writer_.failure() ? last_ : 0; }
  void complete() {
    if (syncing_ && syncing_->done) {
      writer_.complete_sync(syncing_->ticket, *syncing_->done);
      syncing_.reset();
    }
    if (preparation_ && preparation_->done && random_() % 2 == 0) {
      (void)writer_.complete_preparation(preparation_->ticket, *preparation_->done);
      preparation_.reset();
    }
    if (deletion_ && deletion_->done && random_() % 2 == 0) {
      (void)writer_.complete_deletion(deletion_->ticket, *deletion_->done);
      deletion_.reset();
    }
    if (care_ && care_->done && random_() % 2 == 0) {
      (void)writer_.complete_care(care_->ticket, *care_->done);
      care_.reset();
    }
  }

 private:
  template <class T>
  struct Out {
    explicit Out(T t) : ticket(std::move(t)) {}
    void run() {
      if (!done) done = ticket.run();
    }
    T ticket;
    std::optional<Status> done;
  };
  template <class T>
  static std::optional<Out<T>> from(std::optional<T> ticket) {
    return ticket ? std::optional<Out<T>>(std::move(*ticket)) : std::nullopt;
  }

  Writer& writer_;
  std::mt19937_64 random_;
  std::uint32_t last_ = 0;
  std::optional<Out<SyncTicket>> syncing_;
  std::optional<Out<PrepareTicket>> preparation_;
  std::optional<Out<DeleteTicket>> deletion_;
  std::optional<Out<CareTicket>> care_;
};

TEST(Housekeeping, ACrashOrAFailureAtAnyMomentLosesNothingSynced) {
  std::uint64_t rolled = 0, deleted = 0, reopened = 0, compressed = 0, sealed = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    FaultFileSystem files;
    files.make_writes_short(seed % 5 == 0);
    std::uint64_t synced = 0, written = 0;
    for (std::uint64_t life = 0; life < 3; ++life) {
      WriterOptions options = small_segments();
      options.recycle = seed % 4 != 0;
      auto writer = begin_elsewhere(files, options);
      ASSERT_TRUE(writer) << seed << " " << writer.error().message;
      ASSERT_TRUE(writer->recovered().corruptions.empty())
          << seed << " " << writer->recovered().corruptions.front().message();
      const std::uint64_t end = writer->next_offset().value(), first = writer->first_offset().value();
      ASSERT_GE(end, synced) << seed;
      ASSERT_LE(end, std::max(written, synced)) << seed;
      auto reader = Reader::open(files, "t");
      ASSERT_TRUE(reader) << seed;
      const Seen seen = read_all(*reader, Offset(first));
      ASSERT_TRUE(seen.is(first, end)) << seed << " " << seen.problem << " " << seen.offsets.size();
      deleted += first > 0;
      const auto seals = verify_seals(files, "t");
      ASSERT_TRUE(seals) << seed << seals.error().message;
      ASSERT_TRUE(seals->wrong.empty()) << seed << " " << seals->wrong.front();
      sealed += seals->sealed > 1;
      ASSERT_TRUE(writer->sync());  // the grant, without which nothing can be appended
      Life tickets(*writer, seed * 3 + life);
      std::mt19937_64 random(seed * 7 + life);
      if (random() % 2 == 0) files.fail_at(random() % 300, ErrorCode::io_failed, random() % 2 == 0);
      for (std::uint64_t i = random() % 600; i > 0; --i) {
        tickets.step();
        if (writer->failure() && random() % 8 == 0) {
          files.heal();
          const Offset known = writer->synced_end();
          const Status again = writer->reopen_after_failure(WallTime{1}, Rewrite::anew);
          ASSERT_TRUE(again) << seed << " " << again.error().message;
          ASSERT_EQ(writer->next_offset(), known) << seed;
          writer->set_housekeeping(Housekeeping::elsewhere);
          ++reopened;
        }
      }
      synced = std::max(synced, writer->synced_end().value());
      written = std::max(written, writer->next_offset().value() + tickets.perhaps_written());
      files.heal();
      rolled += segment_paths(files).size() > 2;
      const auto all = names(files);
      compressed += std::any_of(all.begin(), all.end(), [](const auto& name) { return name.ends_with(".zst"); });
      files.crash(seed);
    }
  }
  EXPECT_GT(rolled, 300u);
  EXPECT_GT(deleted, 300u);
  EXPECT_GT(reopened, 100u);
  EXPECT_GT(compressed, 100u);
  EXPECT_GT(sealed, 100u);
}

}  // namespace
}  // namespace millrace::wal
