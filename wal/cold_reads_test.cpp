// Proves that looking for a place in compressed segments, by offset, by time or by a key's last event, and reading a
// short range there, decompresses the blocks that hold it and no others, however large a segment is.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "wal/cold.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/last_values.hpp"
#include "wal/testing/counting_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr std::size_t payload_bytes = 200;
constexpr std::size_t key_bytes = 8;
constexpr std::uint32_t batch_events = 100;  // 24 KB: some batches begin in one block and end in the next
constexpr std::uint64_t common_keys = 10;
constexpr std::size_t segments = 4;
// A block that is noise takes a little more than its bytes.
constexpr std::size_t block_max = cold_block_bytes + 1024;

KeyDefinition first_bytes() {
  return {1, [](const FrameView& frame, std::string&) {
            return std::string_view(reinterpret_cast<const char*>(frame.payload().data()), key_bytes);
          }};
}
std::string key_text(std::uint64_t number) {
  return "key-000" + std::to_string(number);
}

// A log whose sealed segments are all compressed; record times are a thousand times the offset of a batch. Payloads are
// noise behind a key, so that bytes read tell how many blocks were. One key is in the very first event alone.
struct ColdLog {
  explicit ColdLog(std::uint64_t segment_size) {
    WriterOptions options = small_segments(segment_size);
    options.keys = std::make_shared<const KeyDefinition>(first_bytes());
    auto writer = begin(files, options);
    std::mt19937_64 random(1);
    while (segment_paths(files).size() <= segments) {
      const Sequence first = writer->publishers().at(0).last_sequence.next();
      auto bytes = frames(first.value(), batch_events, payload_bytes);
      for (std::uint32_t i = 0; i < batch_events; ++i) {
        std::byte* const payload = bytes.data() + i * frame_size(payload_bytes) + frame_header_size;
        for (std::size_t at = key_bytes; at < payload_bytes; at += 8) {
          const std::uint64_t noise = random();
          std::memcpy(payload + at, &noise, sizeof noise);
        }
        const std::uint64_t offset = first.value() - 1 + i;
        std::memcpy(payload, (offset == 0 ? "key-rare" : key_text(offset % common_keys)).data(), key_bytes);
      }
      const WallTime now{static_cast<std::int64_t>((first.value() - 1) * 1000)};
      EXPECT_TRUE(writer->append(publisher, Epoch(1), first, batch_events, bytes, now));
    }
    EXPECT_TRUE(writer->sync());
    end = writer->next_offset().value();
    while (auto ticket = writer->take_care(WallTime{std::numeric_limits<std::int64_t>::max()})) {
      const Status done = ticket->run();
      EXPECT_TRUE(done && writer->complete_care(*ticket, done));
    }
    const auto names = files.list("t").value();
    for (const std::string& name : names) cold_files += name.ends_with(".wal.zst");
  }

  FaultFileSystem files;
  std::uint64_t end = 0;  // of the offsets
  std::size_t cold_files = 0;
};

struct Most {
  std::size_t bytes = 0, index_opens = 0;
  void take(const CountingFileSystem::Counts& counts) {
    bytes = std::max(bytes, counts.bytes);
    index_opens = std::max(index_opens, counts.index_opens);
  }
};

// The event at an offset, by a reader that was just opened.
void read_one(Reader& reader, std::uint64_t offset) {
  auto batch = reader.next();
  if (batch && *batch && (*batch)->kind != BatchKind::events) batch = reader.next();  // the publisher's grant
  ASSERT_TRUE(batch && *batch) << offset;
  EventCursor events(**batch, Offset(offset));
  const auto event = events.next();
  ASSERT_TRUE(event) << offset;
  EXPECT_EQ(event->offset, Offset(offset));
  EXPECT_EQ(event->frame.sequence(), Sequence(offset + 1));
}

TEST(ColdReads, ASeekDecompressesTheBlocksOfItsBatchHoweverLargeTheSegment) {
  for (const std::uint64_t size : {std::uint64_t{2} << 20, std::uint64_t{16} << 20}) {
    SCOPED_TRACE(size);
    ColdLog log(size);
    ASSERT_EQ(log.cold_files, segments);
    CountingFileSystem counting(log.files);
    Most by_offset, by_time, range;
    // Only places in compressed segments.
    const std::uint64_t cold_end = list_segment_files(log.files, "t")->back().first_offset.value();
    for (std::uint64_t i = 0; i < 60; ++i) {
      const std::uint64_t offset = cold_end * i / 60;
      auto reader = Reader::open(counting, "t");
      ASSERT_TRUE(reader);
      counting.restart();
      ASSERT_TRUE(reader->seek(Offset(offset)));
      read_one(*reader, offset);
      by_offset.take(counting.counts());

      // A page of a thousand events, as a request for history asks.
      counting.restart();
      for (std::uint64_t seen = offset; seen < std::min(offset + 1000, cold_end);) {
        const auto batch = reader->next();
        ASSERT_TRUE(batch && *batch);
        seen = (*batch)->next_offset().value();
      }
      range.take(counting.counts());

      auto other = Reader::open(counting, "t");
      ASSERT_TRUE(other);
      counting.restart();
      const std::uint64_t first = offset / batch_events * batch_events;  // of a batch
      ASSERT_TRUE(other->seek_time(WallTime{static_cast<std::int64_t>(first * 1000)}));
      read_one(*other, first);
      by_time.take(counting.counts());
    }
    std::printf("segments of %2zu MiB: at most %zu bytes a seek, %zu by time, %zu for the next 1000 events\n",
                static_cast<std::size_t>(size >> 20), by_offset.bytes, by_time.bytes, range.bytes);
    // What an index leads to is at most as far from the place as a block is long; a batch may end in the next one.
    EXPECT_GE(by_offset.bytes, std::size_t{cold_block_bytes});
    EXPECT_LE(by_offset.bytes, 3 * block_max + 16 * 1024);
    EXPECT_LE(by_time.bytes, 3 * block_max + 32 * 1024) << "and some headers on the way";
    EXPECT_LE(range.bytes, 2 * block_max + 16 * 1024);
    EXPECT_EQ(by_offset.index_opens, 1u);
    EXPECT_EQ(by_time.index_opens, 1u);
  }
}

TEST(ColdReads, TheLastEventOfAKeyCostsItsBlockAndTheNotesOfNewerSegments) {
  ColdLog log(4 << 20);
  CountingFileSystem counting(log.files);
  const std::uint64_t end = list_segment_files(log.files, "t")->back().first_offset.value();
  const auto values = [&](std::optional<std::string_view> key) {
    counting.restart();
    auto found = last_values(counting, "t", Offset(end), first_bytes(), key);
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : std::vector<LastValue>();
  };
  const auto rare = values("key-rare");
  ASSERT_EQ(rare.size(), 1u);
  EXPECT_EQ(rare[0].offset, Offset(0));
  EXPECT_LE(counting.counts().bytes, 2 * block_max + 32 * 1024);
  EXPECT_GT(counting.counts().bytes, std::size_t{20'000}) << "at least its batch";
  const auto common = values(key_text(3));
  ASSERT_EQ(common.size(), 1u);
  EXPECT_EQ(common[0].offset.value() % common_keys, 3u);
  EXPECT_GE(common[0].offset.value(), end - common_keys);
  EXPECT_LE(counting.counts().bytes, 2 * block_max + 32 * 1024);
  // All keys: the end of the newest, and the first event of all.
  EXPECT_EQ(values({}).size(), common_keys + 1);
  EXPECT_LE(counting.counts().bytes, 4 * block_max + 32 * 1024);
}

}  // namespace
}  // namespace millrace::wal
