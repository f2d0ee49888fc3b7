// Proves that a snapshot is there whole or not at all, whatever its file went through, and that one that is not whole
// costs the one before it and no more.
#include "publishers/matching/snapshot_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publishers/matching/test_venue.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/format.hpp"

namespace millrace::matching {
namespace {

using ::testing::HasSubstr;

Snapshot snapshot_at(std::uint64_t offset) {
  Snapshot snapshot;
  snapshot.input = {LogId{{1, 2, 3}}, Run(4), Offset(offset)};
  snapshot.outputs = {Sequence(offset), Sequence(2 * offset), Sequence(3 * offset)};
  for (std::uint64_t i = 0; i < 100; ++i) snapshot.state.push_back(static_cast<std::byte>(i * offset));
  return snapshot;
}
bool same(const Snapshot& one, const Snapshot& other) {
  return one.input == other.input && one.outputs == other.outputs && one.state == other.state;
}

class SnapshotStoreTest : public ::testing::Test {
 protected:
  static constexpr OutputSequences kAll{Sequence(1000), Sequence(1000), Sequence(1000)};

  // As a process that starts now would.
  std::optional<Snapshot> newest(const OutputSequences& recorded = kAll) {
    rejected_.clear();
    auto store = SnapshotStore::open(disk_, "/snapshots/matching");
    EXPECT_TRUE(store);
    auto found = store->newest(recorded, [this](const std::string& path, const Error& why) {
      rejected_.push_back(path + ": " + why.message);
    });
    EXPECT_TRUE(found);
    return *std::move(found);
  }
  Status write(std::uint64_t offset) { return write(open(), offset); }
  static Status write(SnapshotStore store, std::uint64_t offset) {
    return store.write(Offset(offset), encode(snapshot_at(offset)));
  }
  SnapshotStore open() {
    auto store = SnapshotStore::open(disk_, "/snapshots/matching");
    EXPECT_TRUE(store);
    EXPECT_TRUE(store->newest(kAll, [](const std::string&, const Error&) {}));
    return *std::move(store);
  }
  std::vector<std::byte>& bytes(std::uint64_t offset) {
    char name[64];
    std::snprintf(name, sizeof name, "/snapshots/matching/%020llu.snapshot", static_cast<unsigned long long>(offset));
    return *disk_.bytes_of(name);
  }

  wal::FaultFileSystem disk_;
  std::vector<std::string> rejected_;
};

TEST_F(SnapshotStoreTest, TheNewestComesBackAndTheLastTwoAreKept) {
  EXPECT_FALSE(newest());
  for (const std::uint64_t offset : {9, 10, 11}) ASSERT_TRUE(write(offset));
  EXPECT_TRUE(same(*newest(), snapshot_at(11)));
  EXPECT_EQ(disk_.list("/snapshots/matching")->size(), 2u);
}

TEST_F(SnapshotStoreTest, OneThatIsTornAtAnyByteCostsTheOneBefore) {
  ASSERT_TRUE(write(5));
  ASSERT_TRUE(write(6));
  const auto whole = bytes(6);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    bytes(6).assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_TRUE(same(*newest(), snapshot_at(5))) << size;
    bytes(6).resize(whole.size());  // zeros where blocks did not come to the disk
    EXPECT_TRUE(same(*newest(), snapshot_at(5))) << size;
    EXPECT_EQ(rejected_.size(), 1u);
  }
  bytes(6) = whole;
  bytes(6).push_back(std::byte{0});
  EXPECT_TRUE(same(*newest(), snapshot_at(5)));
}

TEST_F(SnapshotStoreTest, AnyBitThatFlipsCostsTheOneBefore) {
  ASSERT_TRUE(write(5));
  ASSERT_TRUE(write(6));
  for (std::size_t at = 0; at < bytes(6).size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes(6)[at] ^= static_cast<std::byte>(1 << bit);
      EXPECT_TRUE(same(*newest(), snapshot_at(5))) << at << " bit " << bit;
      bytes(6)[at] ^= static_cast<std::byte>(1 << bit);
    }
  }
  EXPECT_TRUE(same(*newest(), snapshot_at(6)));
}

TEST_F(SnapshotStoreTest, AnotherVersionIsNotReadAndIsNamed) {
  ASSERT_TRUE(write(5));
  ASSERT_TRUE(write(6));
  auto& newer = bytes(6);
  newer[4] = std::byte{2};
  const auto checksum = wal::checksum_of(std::span(newer).first(newer.size() - 8));
  std::memcpy(newer.data() + newer.size() - 8, &checksum, 8);
  EXPECT_TRUE(same(*newest(), snapshot_at(5)));
  ASSERT_EQ(rejected_.size(), 1u);
  EXPECT_THAT(rejected_[0], HasSubstr("version is 2"));
}

TEST_F(SnapshotStoreTest, WhenBothAreBadThereIsNone) {
  ASSERT_TRUE(write(5));
  ASSERT_TRUE(write(6));
  bytes(5)[80] ^= std::byte{1};
  bytes(6)[80] ^= std::byte{1};
  EXPECT_FALSE(newest());
  EXPECT_EQ(rejected_.size(), 2u);
}

TEST_F(SnapshotStoreTest, OneThatIsAheadOfAnyOutputTopicIsNotUsed) {
  ASSERT_TRUE(write(5));
  ASSERT_TRUE(write(6));
  EXPECT_TRUE(same(*newest({Sequence(6), Sequence(12), Sequence(18)}), snapshot_at(6)));
  EXPECT_TRUE(same(*newest({Sequence(5), Sequence(12), Sequence(18)}), snapshot_at(5)));
  EXPECT_TRUE(same(*newest({Sequence(6), Sequence(11), Sequence(18)}), snapshot_at(5)));
  EXPECT_TRUE(same(*newest({Sequence(6), Sequence(12), Sequence(17)}), snapshot_at(5)));
  ASSERT_EQ(rejected_.size(), 1u);
  EXPECT_THAT(rejected_[0], HasSubstr("event 18 of market_l2, of which the log has only 17"));
  EXPECT_FALSE(newest({}));
}

TEST_F(SnapshotStoreTest, ABadOneIsReplacedBeforeTheGoodOneBehindIt) {
  ASSERT_TRUE(write(5));
  ASSERT_TRUE(write(6));
  bytes(6)[80] ^= std::byte{1};
  ASSERT_TRUE(write(7));  // by one who found 5
  bytes(7)[80] ^= std::byte{1};
  EXPECT_TRUE(same(*newest(), snapshot_at(5)));
}

// At each operation of the writing the disk fails, and then the power; half of the time only the power.
TEST_F(SnapshotStoreTest, ACrashAtAnyOperationLeavesTheOldOrTheNew) {
  std::uint64_t old = 0, fresh = 0, operation = 0;
  for (bool failed = true; failed; ++operation) {
    for (std::uint64_t seed = 0; seed < 64; ++seed) {
      disk_ = wal::FaultFileSystem();
      ASSERT_TRUE(write(5));
      ASSERT_TRUE(write(6));
      auto store = open();
      disk_.make_writes_short(seed % 2 == 1);
      disk_.fail_at(operation, ErrorCode::io_failed, true);
      const auto status = write(std::move(store), 7);
      failed = disk_.failed();
      disk_.heal();
      disk_.crash(seed);
      const auto found = newest();
      ASSERT_TRUE(found) << operation << " " << seed;
      const bool is_new = found->input.offset == Offset(7);
      ASSERT_TRUE(same(*found, snapshot_at(is_new ? 7 : 6))) << operation << " " << seed;
      ASSERT_TRUE(is_new || !status) << "what was written is on the disk";
      ++(is_new ? fresh : old);
      ASSERT_TRUE(write(8)) << "and the folder is as good as before";
      ASSERT_TRUE(same(*newest(), snapshot_at(8)));
    }
  }
  EXPECT_GT(operation, 6u);
  EXPECT_GT(old, 100u);
  EXPECT_GT(fresh, 100u);
}

TEST_F(SnapshotStoreTest, AFailureThatPassesLeavesAllAsItWas) {
  for (std::uint64_t operation = 0; operation < 8; ++operation) {
    disk_ = wal::FaultFileSystem();
    ASSERT_TRUE(write(5));
    auto store = open();
    disk_.fail_at(operation, ErrorCode::no_space);
    (void)store.write(Offset(6), encode(snapshot_at(6)));
    disk_.heal();
    ASSERT_TRUE(newest());
    ASSERT_TRUE(store.write(Offset(7), encode(snapshot_at(7))));
    EXPECT_TRUE(same(*newest(), snapshot_at(7)));
  }
}

// ---- the state in it

TEST(VenueState, AnyPartOfItIsRefusedAndNothingElseHappens) {
  auto venue = open_venue({mill_config()});
  for (std::uint64_t i = 1; i <= 5; ++i) {
    const auto order = TestCommand::enter(schemas::Side::buy, 10, 100'00 - static_cast<std::int64_t>(i), "ann", 0,
                                          "c" + std::to_string(i));
    venue->apply(*order, {InputNumber(i), WallTime{1}});
  }
  StateWriter state;
  venue->save(state);
  const auto restore = [](std::span<const std::byte> bytes, const InstrumentConfig& config) {
    StateReader from(bytes);
    return open_venue({config})->restore(from);
  };
  ASSERT_TRUE(restore(state.bytes(), mill_config()));
  for (std::size_t size = 0; size < state.bytes().size(); ++size) {
    EXPECT_FALSE(restore(std::span(state.bytes()).first(size), mill_config())) << size;
  }
  auto longer = state.bytes();
  longer.push_back(std::byte{});
  EXPECT_EQ(restore(longer, mill_config()).error().code, ErrorCode::corrupt);
  // No flipped byte may be followed; what it says may be wrong, for the checksum stands before it.
  for (std::size_t at = 0; at < state.bytes().size(); ++at) {
    auto bytes = state.bytes();
    bytes[at] ^= std::byte{0xff};
    (void)restore(bytes, mill_config());
  }
  auto other = mill_config();
  other.tick = Price{5};
  const auto status = restore(state.bytes(), other);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(status.error().message, HasSubstr("other instruments"));
}

}  // namespace
}  // namespace millrace::matching
