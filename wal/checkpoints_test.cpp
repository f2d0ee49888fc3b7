// Proves that a stored table of checkpoints is there after any crash, whole and not older, that a failed store changes
// nothing, and that damage is told from a crash as far as it can be.
#include "wal/checkpoints.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using testing::log_id;
using Records = std::vector<ConsumerRecord>;

constexpr const char* path = "t/consumers";

Records table(std::uint64_t n, std::size_t consumers = limits::durable_consumers) {
  Records records;
  for (std::size_t i = 0; i < consumers; ++i) {
    records.push_back(
        {"consumer-" + std::to_string(i), n + i, Run(n), Offset(n * 1000 + i), WallTime{static_cast<std::int64_t>(n)}});
  }
  return records;
}
// Which of table(0..n) it is; 0: none at all.
std::optional<std::uint64_t> which(const Records& records) {
  if (records.empty()) return 0;
  const std::uint64_t n = records[0].generation;
  return records == table(n) ? std::optional(n) : std::nullopt;
}
Records named(const std::string& name) {
  return {{name, 1, Run(1), Offset(1), {}}};
}
void make_folder(FaultFileSystem& files) {
  ASSERT_TRUE(files.make_folder("t"));
  ASSERT_TRUE(files.sync_folder("."));
}
Result<Checkpoints> open(FileSystem& files) {
  return Checkpoints::open(files, "t", log_id);
}

// Changes a copy and makes its checksum right again.
template <class Change>
void forge(FaultFileSystem& files, std::size_t copy, const Change& change) {
  const std::span bytes = std::span(*files.bytes_of(path)).subspan(copy * consumers_copy_bytes, consumers_copy_bytes);
  ConsumersHeader header;
  std::array<ConsumerEntry, limits::durable_consumers> entries;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::memcpy(entries.data(), bytes.data() + sizeof header, sizeof entries);
  change(header, entries.data());
  std::memcpy(bytes.data() + sizeof header, entries.data(), sizeof entries);
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);
}

TEST(Checkpoints, AreReadBackAndMakeNoFileBeforeTheFirstStore) {
  FaultFileSystem files;
  make_folder(files);
  auto first = open(files);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->records().empty());
  EXPECT_EQ(files.bytes_of(path), nullptr);
  for (std::uint64_t n = 1; n < 10; ++n) {
    ASSERT_TRUE(first->store(table(n, n)));
    EXPECT_EQ(first->records(), table(n, n));
    const auto again = open(files);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->records(), table(n, n));
    EXPECT_FALSE(again->one_copy_bad());
  }
  ASSERT_TRUE(first->store({}));
  EXPECT_TRUE(open(files)->records().empty());
  EXPECT_EQ(files.bytes_of(path)->size(), 2 * consumers_copy_bytes);
}

TEST(Checkpoints, RefuseWhatTheyCannotHold) {
  FaultFileSystem files;
  make_folder(files);
  auto checkpoints = open(files);
  ASSERT_TRUE(checkpoints->store(table(1)));
  EXPECT_EQ(checkpoints->store(table(2, limits::durable_consumers + 1)).error().code, ErrorCode::exhausted);
  for (const std::string& name : {std::string(), std::string(49, 'a'), std::string("A"), std::string("a/b")}) {
    EXPECT_EQ(checkpoints->store(named(name)).error().code, ErrorCode::invalid_argument) << name;
  }
  Records twice = table(2);
  twice.back().name = twice.front().name;
  EXPECT_EQ(checkpoints->store(twice).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(checkpoints->records(), table(1));
  const std::string longest = "0123456789_.-abcdefghijklmnopqrstuvwxyz012345678";
  ASSERT_EQ(longest.size(), limits::consumer_name_size_max);
  ASSERT_TRUE(checkpoints->store(named(longest)));
  EXPECT_EQ(open(files)->records().at(0).name, longest);
}

// A failure at every operation, then the machine crashes, in many ways: what is read is what was stored last, or what
// was being stored. Then the same again on top of it.
TEST(Checkpoints, AreTheOldOrTheNewAfterACrashAtAnyOperation) {
  std::size_t old_seen = 0, new_seen = 0;
  bool failed = true;
  for (std::uint64_t n = 0; failed; ++n) {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      FaultFileSystem files;
      make_folder(files);
      files.make_writes_short(seed % 2 == 1);
      std::uint64_t stored = 0;
      for (int life = 0; life < 3; ++life) {
        files.fail_at(n, ErrorCode::io_failed, true);
        std::uint64_t tried = stored;
        if (auto checkpoints = open(files)) {
          for (int i = 0; i < 4 && tried == stored; ++i) {
            if (checkpoints->store(table(++tried))) stored = tried;
          }
          ASSERT_EQ(which(checkpoints->records()), stored);
        }
        failed = files.failed();
        files.heal();
        files.crash(seed);
        const auto after = open(files);
        ASSERT_TRUE(after) << n << " " << seed << " " << after.error().message;
        const auto seen = which(after->records());
        ASSERT_TRUE(seen == stored || seen == tried) << n << " " << seed << " life " << life;
        if (tried != stored) ++(seen == stored ? old_seen : new_seen);
        stored = *seen;
      }
    }
  }
  EXPECT_GT(old_seen, 100u);
  EXPECT_GT(new_seen, 20u);
}

TEST(Checkpoints, AreUsableAfterAFailedStore) {
  for (const ErrorCode code : {ErrorCode::io_failed, ErrorCode::no_space}) {
    bool failed = true;
    for (std::uint64_t n = 0; failed; ++n) {
      FaultFileSystem files;
      make_folder(files);
      auto checkpoints = open(files);
      for (std::uint64_t i = 1; i < 6; ++i) {
        files.fail_at(n, code);
        const Status stored = checkpoints->store(table(i));
        failed = files.failed();
        files.heal();
        ASSERT_EQ(stored.has_value(), !failed);
        if (!stored) {
          EXPECT_EQ(stored.error().code, code);
          ASSERT_EQ(which(checkpoints->records()), i - 1);
          ASSERT_TRUE(checkpoints->store(table(i)));
        }
        if (i % 2 == 0) checkpoints = open(files);
        ASSERT_EQ(which(checkpoints->records()), i);
      }
      files.crash(n);
      ASSERT_EQ(which(open(files)->records()), 5u);
    }
  }
}

// A failed sync leaves a table in the page cache that is not on the disk. The next process must make it durable before
// it tells anybody, and before it writes over the copy that is.
TEST(Checkpoints, OutliveARestartAfterAFailedSyncAndThenACrash) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    FaultFileSystem files;
    make_folder(files);
    {
      auto checkpoints = open(files);
      for (std::uint64_t n = 1; n < 4; ++n) ASSERT_TRUE(checkpoints->store(table(n)));
      files.fail_at(1, ErrorCode::io_failed);
      ASSERT_FALSE(checkpoints->store(table(4)));  // written, not synced
      files.heal();
    }
    auto next = open(files);
    ASSERT_EQ(which(next->records()), 4u);
    files.fail_at(seed % 2, ErrorCode::io_failed, true);  // at the write of the next table, or at its sync
    ASSERT_FALSE(next->store(table(5)));
    ASSERT_TRUE(files.failed());
    files.heal();
    files.crash(seed);
    const auto after = open(files);
    ASSERT_TRUE(after) << seed << " " << after.error().message;
    const auto seen = which(after->records());
    ASSERT_TRUE(seen && *seen >= 4) << seed;
  }
}

// A store that was cut off at any byte, whatever had been there.
TEST(Checkpoints, AreTheOldTableWhenTheNewOneIsTornAtAnyByte) {
  FaultFileSystem files;
  make_folder(files);
  auto checkpoints = open(files);
  ASSERT_TRUE(checkpoints->store(table(1)));  // in both copies
  ASSERT_TRUE(checkpoints->store(table(2)));  // in the first
  const auto before = *files.bytes_of(path);
  ASSERT_TRUE(checkpoints->store(table(3)));  // in the second
  const auto after = *files.bytes_of(path);
  for (std::size_t kept = 0; kept <= consumers_copy_bytes; ++kept) {
    auto torn = before;
    const auto second = static_cast<std::ptrdiff_t>(consumers_copy_bytes);
    std::copy_n(after.begin() + second, kept, torn.begin() + second);
    *files.bytes_of(path) = torn;
    const auto seen = open(files);
    ASSERT_TRUE(seen) << kept;
    // The last bytes are zeros in both.
    const bool whole = torn == after;
    ASSERT_EQ(which(seen->records()), whole ? 3u : 2u) << kept;
    ASSERT_EQ(seen->one_copy_bad(), !whole && torn != before) << kept;
  }
}

TEST(Checkpoints, FallBackToTheOtherCopyWhereverABitIsFlipped) {
  FaultFileSystem files;
  make_folder(files);
  auto checkpoints = open(files);
  for (std::uint64_t n = 1; n < 4; ++n) ASSERT_TRUE(checkpoints->store(table(n)));  // 2 in the first, 3 in the second
  const auto good = *files.bytes_of(path);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto& bytes = *files.bytes_of(path);
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto seen = open(files);
    ASSERT_TRUE(seen) << bit << " " << seen.error().message;
    ASSERT_TRUE(seen->one_copy_bad()) << bit;
    ASSERT_EQ(which(seen->records()), bit / 8 < consumers_copy_bytes ? 3u : 2u) << bit;
    bytes = good;
  }
  auto& bytes = *files.bytes_of(path);
  bytes[100] ^= std::byte{1};
  auto damaged = open(files);
  ASSERT_TRUE(damaged->store(table(7)));  // heals the bad copy
  EXPECT_FALSE(damaged->one_copy_bad());
  EXPECT_FALSE(open(files)->one_copy_bad());
  EXPECT_EQ(which(open(files)->records()), 7u);
}

// What store() would refuse is not loaded either, however right its checksum: else no later store would succeed.
TEST(Checkpoints, FallBackToTheOtherCopyWhenATableHoldsWhatNoneMay) {
  const auto expect_bad = [](std::size_t consumer, const std::string& name) {
    FaultFileSystem files;
    make_folder(files);
    auto checkpoints = open(files);
    for (std::uint64_t n = 1; n < 3; ++n)
      ASSERT_TRUE(checkpoints->store(table(n, 3)));  // 2 in the first, 1 in the second
    forge(files, 0, [&](ConsumersHeader&, ConsumerEntry* entries) {
      entries[consumer].name_size = name.size();
      std::copy(name.begin(), name.end(), entries[consumer].name.begin());
    });
    auto seen = open(files);
    ASSERT_TRUE(seen) << name;
    EXPECT_TRUE(seen->one_copy_bad()) << name;
    EXPECT_EQ(seen->records(), table(1, 3)) << name;
    EXPECT_TRUE(seen->store(table(4, 3))) << name;
    EXPECT_EQ(open(files)->records(), table(4, 3)) << name;
  };
  expect_bad(0, "");
  expect_bad(1, "a/b");
  expect_bad(2, "consumer-0");
}

TEST(Checkpoints, GoOnBehindTheLastNumberThereIs) {
  FaultFileSystem files;
  make_folder(files);
  ASSERT_TRUE(open(files)->store(table(1)));
  forge(files, 0, [](ConsumersHeader& header, ConsumerEntry*) { header.number = ~0ull; });
  auto checkpoints = open(files);
  for (std::uint64_t n = 2; n < 5; ++n) {
    ASSERT_TRUE(checkpoints->store(table(n)));
    ASSERT_EQ(which(open(files)->records()), n);
  }
}

TEST(Checkpoints, OfWhichBothCopiesAreBadAreCorrupt) {
  FaultFileSystem files;
  make_folder(files);
  ASSERT_TRUE(open(files)->store(table(1)));
  const auto good = *files.bytes_of(path);
  auto& bytes = *files.bytes_of(path);
  const auto expect_corrupt = [&] {
    const auto seen = open(files);
    ASSERT_FALSE(seen);
    EXPECT_EQ(seen.error().code, ErrorCode::corrupt);
    EXPECT_NE(seen.error().message.find(path), std::string::npos);
    bytes = good;
  };
  bytes[40] ^= std::byte{1};
  bytes[consumers_copy_bytes + 4] ^= std::byte{2};
  expect_corrupt();
  bytes.clear();
  expect_corrupt();
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  expect_corrupt();
  bytes.resize(consumers_copy_bytes);  // one copy left
  const auto half = open(files);
  ASSERT_TRUE(half);
  EXPECT_TRUE(half->one_copy_bad());
}

TEST(Checkpoints, OfAnotherVersionAreRefusedEvenIfTheOlderCopyIsOurs) {
  FaultFileSystem files;
  make_folder(files);
  auto checkpoints = open(files);
  ASSERT_TRUE(checkpoints->store(table(1)));
  auto& bytes = *files.bytes_of(path);
  bytes[4] = std::byte{9};
  bytes[8] ^= std::byte{0x5a};  // another version checksums otherwise
  const auto seen = open(files);
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, ErrorCode::unsupported);
  EXPECT_NE(seen.error().message.find("format version 9"), std::string::npos) << seen.error().message;
}

TEST(Checkpoints, OfAnotherLogAreRefused) {
  FaultFileSystem files;
  make_folder(files);
  ASSERT_TRUE(open(files)->store(table(1)));
  const auto seen = Checkpoints::open(files, "t", LogId{{9}});
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(seen.error().message.find(to_hex(log_id.bytes)), std::string::npos);
}

TEST(Checkpoints, CostOneWriteAndOneSync) {
  FaultFileSystem files;
  make_folder(files);
  auto checkpoints = open(files);
  ASSERT_TRUE(checkpoints->store(table(1)));
  const std::uint64_t before = files.operations();
  for (std::uint64_t n = 2; n < 12; ++n) ASSERT_TRUE(checkpoints->store(table(n)));
  EXPECT_EQ(files.operations() - before, 20u);
}

}  // namespace
}  // namespace millrace::wal
