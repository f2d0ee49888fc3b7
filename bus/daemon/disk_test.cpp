// Proves that recording and syncing go on while a file's deletion, or the laying out of the next one, stands still;
// that what a full segment waits for is told; and that nothing is lost when it moves on, fails, or the core ends.
#include "bus/daemon/disk.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "bus/base/temporary_folder.hpp"
#include "bus/testing/memory_bus.hpp"
#include "wal/reader.hpp"
#include "wal/seals.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using schemas::TradeEvent;

constexpr std::uint64_t segment_size = 256 << 10;
constexpr std::uint64_t event_bytes = 216;  // at most, of the log

// A door that calls to the disk pass: shut, they wait before it; spoilt, they fail.
class Door {
 public:
  void shut() { set(true, false); }
  void open() { set(false, false); }
  void spoil() { set(false, true); }
  [[nodiscard]] bool somebody_waits() const {
    const std::lock_guard lock(mutex_);
    return waiting_ > 0;
  }
  [[nodiscard]] Status pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return !shut_; });
    --waiting_;
    if (spoilt_) return fail(ErrorCode::io_failed, "the door is spoilt");
    return {};
  }

 private:
  void set(bool shut, bool spoilt) {
    const std::lock_guard lock(mutex_);
    shut_ = shut;
    spoilt_ = spoilt;
    changed_.notify_all();
  }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool shut_ = false;
  bool spoilt_ = false;
};

// The kernel's file system, but for two doors: before a segment's deletion, and before what lays out the next one.
class Doors final : public wal::FileSystem {
 public:
  Door deletions;
  Door preparations;

  Result<std::unique_ptr<wal::File>> open(const std::string& path, wal::OpenMode mode) override {
    return files_.open(path, mode);
  }
  Result<std::unique_ptr<wal::File>> create(const std::string& path) override {
    if (path.find("/prepared") != std::string::npos) MILLRACE_TRY(preparations.pass());
    return files_.create(path);
  }
  Status rename(const std::string& from, const std::string& to) override { return files_.rename(from, to); }
  Status unlink(const std::string& path) override {
    if (path.ends_with(".wal")) MILLRACE_TRY(deletions.pass());
    return files_.unlink(path);
  }
  Status make_folder(const std::string& path) override { return files_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return files_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return files_.list(folder); }
  Result<wal::Space> space(const std::string&) override { return wal::Space{1ull << 40, free_bytes}; }

  std::atomic<std::uint64_t> free_bytes{1ull << 39};

 private:
  wal::FileSystem& files_ = wal::posix_file_system();
};

class DiskTest : public ::testing::Test {
 protected:
  explicit DiskTest(void (*change)(testing::MemoryBusOptions&) = [](testing::MemoryBusOptions&) {})
      : folder_(temporary_.path() + "/log") {
    testing::MemoryBusOptions options;
    options.folder = folder_;
    options.grant_ahead = 8;
    options.retention_bytes = 2 * segment_size;
    options.log.segment_size = segment_size;
    options.log.recycle = false;  // a segment is deleted, not kept
    options.files = &files_;
    change(options);
    bus_.emplace(options, clock_);
    publisher_ = bus_->publisher("engine");
    disk_.emplace(std::vector<TopicRecorder*>{&bus_->recorder()}, system_clock(), std::make_unique<BackOffIdle>(),
                  std::nullopt);
  }
  ~DiskTest() override {
    files_.deletions.open();
    files_.preparations.open();
    if (disk_) disk_->stop();
  }

  // Until `done`, with the core's granting of pages. A generous limit, for a test that would hang.
  [[nodiscard]] bool wait(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + 60s;
    BackOffIdle idle;
    while (!done()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      bus_->grant();
      idle.idle(0);
    }
    return true;
  }
  [[nodiscard]] bool publish() {
    const auto done = publisher_->publish<TradeEvent>([&](TradeEvent& trade) {
      schemas::set_text(trade.mutable_instrument(), "MILL");
      trade.mutate_buy_order_id(published_ + 1);
    });
    published_ += static_cast<bool>(done);
    return static_cast<bool>(done);
  }
  // Publishes `count` events and waits until they are synced.
  [[nodiscard]] bool publish_and_sync(std::uint64_t count) {
    const std::uint64_t target = published_ + count;
    return wait([&] {
      while (published_ < target && publish()) {
      }
      return published_ == target && publisher_->synced_sequence() == Sequence(target);
    });
  }
  // Until the ring is full of what waits for the next segment, and the core may know.
  [[nodiscard]] bool publish_until_back_pressure() {
    const std::uint64_t before = publisher_->back_pressured();
    return wait([&] {
      while (publish()) {
      }
      const auto in_io = disk_->in_io_since();
      return publisher_->back_pressured() > before + 100 && in_io && system_clock().monotonic() - *in_io > 20ms;
    });
  }
  [[nodiscard]] std::size_t segments() { return wal::list_segment_files(files_, folder_)->size(); }
  [[nodiscard]] std::uint64_t events_that_can_be_read() {
    auto reader = wal::Reader::open(files_, folder_);
    if (!reader) return 0;
    std::uint64_t next = reader->first_offset().value();
    for (;;) {
      auto batch = reader->next();
      if (!batch || !*batch) return next;
      wal::EventCursor events(**batch, Offset(next));
      while (const auto event = events.next()) {
        if (event->offset.value() != next || event->frame.sequence().value() != next + 1) return 0;
        ++next;
      }
    }
  }

  TemporaryFolder temporary_;
  std::string folder_;
  Doors files_;
  ManualClock clock_;
  std::optional<testing::MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
  std::optional<Disk> disk_;
  std::uint64_t published_ = 0;
};

TEST_F(DiskTest, RecordsAndSyncsWhileADeletionStandsStill) {
  disk_->start();
  files_.deletions.shut();
  ASSERT_TRUE(wait([&] { return publish_and_sync(10) && files_.deletions.somebody_waits(); }));
  const MonotonicTime stands_still = system_clock().monotonic();
  // What is left of this segment and all of the next one, whose file was made first.
  const std::size_t before = segments();
  ASSERT_TRUE(publish_and_sync(segment_size * 3 / 2 / event_bytes / 2));
  ASSERT_TRUE(wait([&] { return publish_and_sync(1) && segments() > before; })) << "the log rolls, too";
  EXPECT_TRUE(files_.deletions.somebody_waits());
  EXPECT_GT(disk_->in_io_since().value_or(system_clock().monotonic()), stands_still) << "nobody waits for it";
  // Only when a full segment waits is the disk called slow.
  ASSERT_TRUE(publish_until_back_pressure());
  EXPECT_TRUE(files_.deletions.somebody_waits());
  files_.deletions.open();
  ASSERT_TRUE(publish_and_sync(5'000));
  ASSERT_TRUE(wait([&] { return segments() <= 2; }));
  disk_->stop();
  EXPECT_GT(disk_->report(0).first_offset, Offset(0));
  EXPECT_EQ(events_that_can_be_read(), published_);
}

TEST_F(DiskTest, RecordsAndSyncsWhileTheNextSegmentIsNotLaidOut) {
  files_.preparations.shut();
  disk_->start();
  ASSERT_TRUE(wait([&] { return files_.preparations.somebody_waits(); }));
  ASSERT_TRUE(publish_and_sync(segment_size / 2 / event_bytes));
  EXPECT_EQ(segments(), 1u);
  ASSERT_TRUE(publish_until_back_pressure());
  EXPECT_EQ(disk_->report(0).state, TopicRecorder::State::ok) << "slow is not failed";
  files_.preparations.open();
  ASSERT_TRUE(publish_and_sync(5'000));
  ASSERT_TRUE(wait([&] { return !disk_->in_io_since().has_value(); }));
  disk_->stop();
  EXPECT_EQ(events_that_can_be_read(), published_);
}

TEST_F(DiskTest, ADeletionThatFailsIsToldAndTriedAgain) {
  disk_->start();
  files_.deletions.spoil();
  ASSERT_TRUE(wait([&] { return publish_and_sync(10) && !disk_->report(0).housekeeping_failure.empty(); }));
  EXPECT_EQ(disk_->report(0).housekeeping_failure, "the door is spoilt");
  ASSERT_TRUE(publish_and_sync(5'000)) << "the topic goes on";
  EXPECT_EQ(disk_->report(0).state, TopicRecorder::State::ok);
  const std::size_t kept = segments();
  EXPECT_GT(kept, 3u);
  files_.deletions.open();
  ASSERT_TRUE(wait([&] { return segments() <= 2 && disk_->report(0).housekeeping_failure.empty(); }));
  EXPECT_GE(disk_->report(0).counters.housekeeping_failures, 1u);
}

TEST_F(DiskTest, ATopicWhoseNextSegmentCannotBeMadeIsClosedInTheEnd) {
  files_.preparations.spoil();
  disk_->start();
  ASSERT_TRUE(wait([&] {
    (void)publish();
    return disk_->report(0).state == TopicRecorder::State::failed;
  }));
  EXPECT_EQ(disk_->report(0).failure, "the door is spoilt");
  EXPECT_GE(disk_->report(0).counters.housekeeping_failures, 3u);
}

TEST_F(DiskTest, EndsCleanlyWithEverythingUnderWay) {
  disk_->start();
  files_.deletions.shut();
  ASSERT_TRUE(wait([&] { return publish_and_sync(10) && files_.deletions.somebody_waits(); }));
  ASSERT_TRUE(publish_until_back_pressure());
  const std::uint64_t all = published_;
  EXPECT_LT(publisher_->recorded_sequence(), Sequence(all)) << "what waits for the next segment";
  std::jthread stopping([&] { disk_->stop(); });
  files_.deletions.open();
  stopping.join();
  EXPECT_EQ(publisher_->synced_sequence(), Sequence(all));
  EXPECT_EQ(events_that_can_be_read(), all);
}

class ColdDiskTest : public DiskTest {
 protected:
  ColdDiskTest()
      : DiskTest([](testing::MemoryBusOptions& options) {
          options.retention_bytes = 0;
          options.compress_after = 1ns;
          options.free_space_floor = 1 << 20;
        }) {}
  [[nodiscard]] std::size_t files_with(const std::string& ending) {
    const std::vector<std::string> names = files_.list(folder_).value();
    return static_cast<std::size_t>(
        std::count_if(names.begin(), names.end(), [&](const std::string& name) { return name.ends_with(ending); }));
  }
};

TEST_F(ColdDiskTest, SealedSegmentsAreSealedCompressedAndDeletedOnceThereIsNoRoom) {
  disk_->start();
  ASSERT_TRUE(wait([&] { return publish_and_sync(200) && segments() >= 5; }));
  ASSERT_TRUE(wait([&] { return files_with(".seal") == segments() - 1 && files_with(".zst") == segments() - 1; }));
  ASSERT_TRUE(wait([&] { return files_with(".wal") == 1; })) << "the open one";
  EXPECT_EQ(disk_->report(0).first_offset, Offset(0));
  EXPECT_EQ(events_that_can_be_read(), published_);
  files_.free_bytes = (1 << 20) - 1;
  ASSERT_TRUE(wait([&] { return segments() == 1; })) << "each look finds too little room";
  ASSERT_TRUE(wait([&] { return files_with(".seal") == 1; })) << "of the last one, to go on from";
  ASSERT_TRUE(publish_and_sync(10));
  files_.free_bytes = 1ull << 39;
  ASSERT_TRUE(wait([&] { return publish_and_sync(200) && segments() >= 3 && files_with(".seal") >= 3; }));
  disk_->stop();
  EXPECT_EQ(events_that_can_be_read(), published_);
  const auto seals = wal::verify_seals(files_, folder_);
  ASSERT_TRUE(seals);
  EXPECT_TRUE(seals->wrong.empty()) << seals->wrong.front();
}

}  // namespace
}  // namespace millrace::daemon
