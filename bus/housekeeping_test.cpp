// Proves what a topic's housekeeping does where space is short or a piece of it fails: no more is deleted than is
// missing, compression takes nobody's room, and what failed is told until it is done.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <string>

#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/segments.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using testing::MemoryBus;
using testing::MemoryBusOptions;

constexpr std::uint64_t segment_size = 64 << 10;
constexpr std::uint64_t floor_bytes = 1 << 20;

// A disk of `capacity` bytes in memory, less what its files take; compressed files may be refused their name.
class SmallDisk final : public wal::FileSystem {
 public:
  std::uint64_t capacity = 1 << 30;
  bool refuses_compressed = false;

  [[nodiscard]] std::uint64_t used() {
    std::uint64_t bytes = 0;
    for (const char* folder : {"/one", "/two"}) {
      const std::vector<std::string> names = files_.list(folder).value();
      for (const std::string& name : names) bytes += files_.bytes_of(wal::join(folder, name))->size();
    }
    return bytes;
  }
  // Counted from what its files take now.
  void set_free(std::uint64_t bytes) { capacity = used() + bytes; }
  [[nodiscard]] std::uint64_t free() { return capacity - std::min(capacity, used()); }
  [[nodiscard]] std::ptrdiff_t count(const std::string& folder, const std::string& ending) {
    const std::vector<std::string> names = files_.list(folder).value();
    return std::ranges::count_if(names, [&](const std::string& name) { return name.ends_with(ending); });
  }

  Result<std::unique_ptr<wal::File>> open(const std::string& path, wal::OpenMode mode) override {
    return files_.open(path, mode);
  }
  Result<std::unique_ptr<wal::File>> create(const std::string& path) override { return files_.create(path); }
  Status rename(const std::string& from, const std::string& to) override {
    if (refuses_compressed && to.ends_with(".zst")) return fail(ErrorCode::io_failed, "no compressed file today");
    return files_.rename(from, to);
  }
  Status unlink(const std::string& path) override { return files_.unlink(path); }
  Status make_folder(const std::string& path) override { return files_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return files_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return files_.list(folder); }
  Result<wal::Space> space(const std::string&) override { return wal::Space{1ull << 40, free()}; }

 private:
  wal::FaultFileSystem files_;
};

class HousekeepingTest : public ::testing::Test {
 protected:
  HousekeepingTest() { EXPECT_TRUE(disk_.make_folder("/one") && disk_.make_folder("/two")); }

  MemoryBusOptions options(const std::string& folder) {
    MemoryBusOptions options;
    options.folder = folder;
    options.log.segment_size = segment_size;
    options.log.recycle = false;
    options.files = &disk_;
    return options;
  }
  // Publishes until the log has so many segments, and lets it keep house.
  void fill(MemoryBus& bus, const std::string& folder, std::ptrdiff_t segments) {
    const auto publisher = bus.publisher("engine");
    while (disk_.count(folder, ".wal") + disk_.count(folder, ".zst") < segments) {
      (void)publisher->publish<schemas::TradeEvent>([](schemas::TradeEvent&) {});
      bus.step();
      if (bus.recorder().roll_waits_for_file()) keep_house(bus);
    }
    bus.settle();
    keep_house(bus);
  }
  void keep_house(MemoryBus& bus) {
    for (int idle = 0; idle < 5; clock_.advance(20ms)) idle = bus.keep_house() ? 0 : idle + 1;
  }

  SmallDisk disk_;
  ManualClock clock_;
};

TEST_F(HousekeepingTest, TopicsOnOneDiskDeleteTogetherWhatIsMissing) {
  std::list<MemoryBus> topics;
  for (const char* folder : {"/one", "/two"}) {
    auto settings = options(folder);
    settings.free_space_floor = floor_bytes;
    fill(topics.emplace_back(settings, clock_), folder, 10);
  }
  disk_.set_free(floor_bytes - 4 * segment_size);
  clock_.advance(2s);
  // Each in turn does one thing; again, once all of them look anew.
  for (int looks = 0; looks < 10; ++looks, clock_.advance(1s)) {
    for (bool busy = true; busy;) {
      busy = false;
      for (MemoryBus& topic : topics) busy = topic.keep_house() || busy;
    }
  }
  EXPECT_GE(disk_.free(), floor_bytes);
  EXPECT_LT(disk_.free(), floor_bytes + segment_size) << "not one more";
  for (MemoryBus& topic : topics) EXPECT_GT(topic.recorder().first_offset(), Offset(0)) << "both gave some";
}

TEST_F(HousekeepingTest, CompressionWaitsWhereASegmentWouldNotFit) {
  auto settings = options("/one");
  settings.compress_after = 1ns;
  disk_.capacity = 0;
  MemoryBus bus(settings, clock_);
  fill(bus, "/one", 3);
  EXPECT_EQ(disk_.count("/one", ".seal"), 2);
  EXPECT_EQ(disk_.count("/one", ".zst") + disk_.count("/one", ".new"), 0);
  disk_.set_free(segment_size);
  clock_.advance(2s);
  keep_house(bus);
  EXPECT_EQ(disk_.count("/one", ".zst"), 2);
}

TEST_F(HousekeepingTest, NothingIsDeletedForTheRoomThatCompressionTakesForAWhile) {
  auto settings = options("/one");
  settings.compress_after = 1h;
  settings.free_space_floor = floor_bytes;
  MemoryBus bus(settings, clock_);
  fill(bus, "/one", 4);
  clock_.advance(2h);
  disk_.set_free(floor_bytes);
  std::uint64_t least = ~0ull;
  for (int i = 0; i < 100; ++i, clock_.advance(1s)) {
    (void)bus.keep_house();
    least = std::min(least, disk_.free());
  }
  EXPECT_LT(least, floor_bytes) << "the half-made file is there";
  EXPECT_EQ(disk_.count("/one", ".zst"), 3);
  EXPECT_EQ(bus.recorder().first_offset(), Offset(0));
}

TEST_F(HousekeepingTest, CareThatFailsHalfWayIsToldUntilItIsDone) {
  auto settings = options("/one");
  settings.compress_after = 1h;
  MemoryBus bus(settings, clock_);
  fill(bus, "/one", 2);
  clock_.advance(2h);
  disk_.refuses_compressed = true;
  const TopicRecorder& recorder = bus.recorder();
  for (int i = 0; i < 1000; ++i, clock_.advance(20ms)) {
    (void)bus.keep_house();
    if (recorder.counters().housekeeping_failures > 0) {
      ASSERT_EQ(recorder.housekeeping_failure(), "no compressed file today") << "also while it is tried again";
    }
  }
  EXPECT_GT(recorder.counters().housekeeping_failures, 3u);
  disk_.refuses_compressed = false;
  clock_.advance(2s);
  keep_house(bus);
  EXPECT_EQ(recorder.housekeeping_failure(), "");
  EXPECT_EQ(disk_.count("/one", ".zst"), 1);
}

TEST_F(HousekeepingTest, OnlyWhereThereIsADurableConsumerOneMayBeOverrun) {
  auto settings = options("/one");
  settings.retention_bytes = 4 * segment_size;
  MemoryBus bus(settings, clock_);
  fill(bus, "/one", 4);
  EXPECT_EQ(bus.recorder().overrun_edges(), wal::OverrunEdges{});
  const auto attachment = bus.attach_subscriber();
  ASSERT_TRUE(bus.hold(*attachment, "risk", false, Offset(0)));
  while (const auto records = bus.consumers().take_store(clock_.wall())) {
    bus.consumers().complete_store(bus.checkpoints().store(*records));
  }
  keep_house(bus);
  EXPECT_NE(bus.recorder().overrun_edges(), wal::OverrunEdges{});
}

}  // namespace
}  // namespace millrace
