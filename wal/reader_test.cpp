// Proves that a reader gives every event once and in order, from wherever it starts, while the log is written, rolled,
// recycled and deleted under it; on the real disk, mapped and not.
#include <gtest/gtest.h>

#include <limits>

#include "bus/base/temporary_folder.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/index.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

class ReaderTest : public ::testing::TestWithParam<ReadMode> {
 protected:
  Reader open() { return Reader::open(files_, folder_, GetParam()).value(); }
  // Segments 1..n of batches of 3 events, one at each of the times 10, 20, 30 ...
  Writer fill(std::size_t segments) {
    auto writer = begin(files_, small_segments(), folder_);
    while (segment_paths(files_, folder_).size() < segments) {
      time_ = time_ + std::chrono::nanoseconds(10);
      EXPECT_TRUE(add(*writer, 3, time_));
    }
    return std::move(*writer);
  }

  FileSystem& files_ = posix_file_system();
  TemporaryFolder temporary_;
  std::string folder_ = temporary_.path() + "/a/new/folder";
  WallTime time_{0};
};
INSTANTIATE_TEST_SUITE_P(Modes, ReaderTest, ::testing::Values(ReadMode::mapped, ReadMode::pread),
                         [](const auto& mode) { return mode.param == ReadMode::mapped ? "Mapped" : "Pread"; });

TEST_P(ReaderTest, FollowsAWriterAcrossRollsRecyclingAndRestarts) {
  auto writer = std::optional(begin(files_, small_segments(), folder_).value());
  Reader reader = open();
  std::uint64_t seen = 0;
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(add(*writer, 1 + static_cast<std::uint32_t>(i % 9)));
    if (i % 7 == 0) {
      ASSERT_TRUE(writer->prepare_next_segment());
    }
    if (i % 31 == 0) {
      ASSERT_TRUE(writer->retain(4 * 32768));
    }
    if (i % 400 == 399) {
      writer.reset();
      writer.emplace(begin(files_, small_segments(), folder_).value());
    }
    const std::uint64_t end = writer->next_offset().value();
    while (seen < end) {  // told the end, it never says that there is nothing
      auto batch = reader.next(Offset(end));
      ASSERT_TRUE(batch) << batch.error().message;
      ASSERT_TRUE(*batch) << seen << " of " << end;
      ASSERT_EQ((*batch)->kind == BatchKind::events ? (*batch)->first_offset.value() : seen, seen);
      seen = (*batch)->next_offset().value();
    }
    ASSERT_FALSE(*reader.next(Offset(end)));
  }
}

TEST_P(ReaderTest, FindsTheNextSegmentWithoutBeingToldTheEnd) {
  auto writer = begin(files_, small_segments(), folder_);
  Reader reader = open();
  std::uint64_t seen = 0;
  while (segment_paths(files_, folder_).size() < 4) {
    ASSERT_TRUE(add(*writer, 5));
    const Seen now = read_all(reader);
    ASSERT_TRUE(now.is(seen, seen + 5)) << seen << now.problem;
    seen += 5;
  }
}

TEST_P(ReaderTest, SeeksToEveryOffsetAndTimeLikeAFullScan) {
  const Writer writer = fill(4);
  const std::uint64_t end = writer.next_offset().value();
  Reader reader = open();
  for (std::uint64_t offset = 0; offset < end + 2; ++offset) {
    ASSERT_TRUE(reader.seek(Offset(offset)));
    const Seen seen = read_all(reader, Offset(offset));
    ASSERT_TRUE(seen.is(std::min(offset, end), end)) << offset << " " << seen.problem;
  }
  for (std::int64_t time = 0; time <= time_.ns + 10; time += 5) {
    ASSERT_TRUE(reader.seek_time(WallTime{time}));
    // The batch of time t holds the offsets from (t / 10 - 1) * 3 on.
    const auto first = static_cast<std::uint64_t>(std::max<std::int64_t>((time + 9) / 10 - 1, 0)) * 3;
    const Seen seen = read_all(reader);
    ASSERT_TRUE(seen.is(std::min(first, end), end)) << time << " " << seen.problem;
  }
}

TEST_P(ReaderTest, DoesWithoutAnIndexAndARestartWritesItAnew) {
  { (void)fill(4); }
  const auto names = list_segment_files(files_, folder_).value();
  ASSERT_TRUE(files_.unlink(join(folder_, to_index_name(names[0]))));
  {
    auto damaged = files_.open(join(folder_, to_index_name(names[1])), OpenMode::read_write).value();
    const std::byte bad[1]{std::byte{0x55}};
    ASSERT_TRUE(write_all(*damaged, bad, {}, 70));
  }
  Reader reader = open();
  const std::uint64_t end = reader.end_offset().value().value();
  for (const std::uint64_t offset : {std::uint64_t{1}, names[1].first_offset.value() + 20}) {
    ASSERT_TRUE(reader.seek(Offset(offset)));
    EXPECT_TRUE(read_all(reader, Offset(offset)).is(offset, end));
  }
  const auto chain = list_chain(files_, folder_).value();
  for (int i : {0, 1}) EXPECT_TRUE(read_index(files_, folder_, names[i], log_id, *chain[i].end).empty());
  { ASSERT_TRUE(begin(files_, small_segments(), folder_)); }
  for (int i : {0, 1}) EXPECT_FALSE(read_index(files_, folder_, names[i], log_id, *chain[i].end).empty());
}

TEST_P(ReaderTest, LooksForATimeBeforeASegmentWhoseHeaderIsBad) {
  { (void)fill(5); }
  const auto names = list_segment_files(files_, folder_).value();
  {
    auto damaged = files_.open(join(folder_, to_file_name(names[2])), OpenMode::read_write).value();
    const std::byte bad[1]{std::byte{0x55}};
    ASSERT_TRUE(write_all(*damaged, bad, {}, 20));
  }
  for (std::uint64_t first = 0; first < names[4].first_offset.value(); first += 3) {
    Reader reader = open();
    ASSERT_TRUE(reader.seek_time(WallTime{static_cast<std::int64_t>(first / 3 + 1) * 10}));
    const Seen seen = read_all(reader);
    ASSERT_TRUE(seen.problem.empty()) << seen.problem;
    // No earlier one but those of the segment that is bad, no later one.
    ASSERT_FALSE(seen.offsets.empty());
    EXPECT_LE(seen.offsets[0], first);
    EXPECT_GE(seen.offsets[0],
              std::min(first, first > names[3].first_offset.value() ? first : names[2].first_offset.value()));
  }
}

TEST_P(ReaderTest, TellsTheEndAnewOfWhatIsNew) {
  auto writer = std::optional(begin(files_, small_segments(), folder_).value());
  Reader reader = open();
  for (int i = 0; i < 400; ++i) {
    ASSERT_EQ(reader.end_offset().value(), writer->next_offset()) << i;
    ASSERT_EQ(reader.end_offset().value(), recover(files_, folder_)->end.next_offset) << i;
    ASSERT_TRUE(add(*writer, 1 + static_cast<std::uint32_t>(i % 9)));
    if (i % 31 == 0) {
      ASSERT_TRUE(writer->retain(2 * 32768));
    }
    if (i % 90 == 89) {
      writer.reset();
      writer.emplace(begin(files_, small_segments(), folder_).value());
    }
  }
  EXPECT_EQ(reader.position(), Offset(0));  // where it reads is another matter
}

TEST_P(ReaderTest, AStartWritesAFewIndexesThatAreMissingTheNewestFirst) {
  { (void)fill(13); }
  const auto chain = list_chain(files_, folder_).value();
  for (const Link& link : chain) (void)files_.unlink(join(folder_, to_index_name(link.name)));
  const auto there = [&](std::size_t i) {
    return !read_index(files_, folder_, chain[i].name, log_id, *chain[i].end).empty();
  };
  { ASSERT_TRUE(begin(files_, small_segments(), folder_)); }
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) EXPECT_EQ(there(i), i >= 4) << i;
  { ASSERT_TRUE(begin(files_, small_segments(), folder_)); }
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) EXPECT_TRUE(there(i)) << i;
}

TEST_P(ReaderTest, IsNotMisledByAnIndexThatIsWrong) {
  { (void)fill(4); }
  const Link link = list_chain(files_, folder_).value().at(0);
  std::vector<IndexEntry> batches;
  {
    auto segment = SegmentReader::open(files_, folder_, link.name, ReadMode::pread).value();
    for (std::uint64_t at = segment.header().header_bytes; at < *link.end;) {
      const Batch batch = *segment.batch_at(at).value();
      batches.push_back({batch.header.first_offset, batch.header.record_time, at});
      at = batch.end();
    }
  }
  ASSERT_GT(batches.size(), 5u);
  Reader reader = open();
  const std::uint64_t end = reader.end_offset().value().value();
  for (const std::uint64_t byte : {batches.back().byte, batches[2].byte, batches[2].byte + 8, *link.end,
                                   std::numeric_limits<std::uint64_t>::max() - 10}) {
    for (const std::uint64_t offset : {std::uint64_t{0}, batches[1].first_offset}) {
      const std::vector<IndexEntry> wrong{{offset, 0, byte}};
      ASSERT_TRUE(write_index(files_, folder_, link.name, log_id, *link.end, wrong));
      for (const IndexEntry& batch : batches) {
        ASSERT_TRUE(reader.seek(Offset(batch.first_offset)));
        EXPECT_TRUE(read_all(reader, Offset(batch.first_offset)).is(batch.first_offset, end)) << byte << " " << offset;
        ASSERT_TRUE(reader.seek_time(WallTime{batch.record_time}));
        EXPECT_TRUE(read_all(reader).is(batch.first_offset, end)) << byte << " " << offset;
      }
    }
  }
}

TEST_P(ReaderTest, SeesGapsAndGrantsWhereTheyHappened) {
  {
    auto writer = begin(files_, small_segments(), folder_);
    ASSERT_TRUE(add(*writer, 2));
    ASSERT_TRUE(writer->append_gap(publisher, Sequence(3), Sequence(7), 42, WallTime{5}));
    PublisherEntry next = matching();
    next.epoch = Epoch(2);
    next.last_sequence = Sequence(7);
    ASSERT_TRUE(writer->append_publisher(next, WallTime{6}));
    const auto recorded = writer->append(publisher, Epoch(2), Sequence(8), 1, frames(8, 1), WallTime{4});
    ASSERT_TRUE(recorded);
    EXPECT_EQ(recorded->first_offset, Offset(2));
    EXPECT_EQ(recorded->record_time, WallTime{6});  // never goes back
  }
  Reader reader = open();
  ASSERT_EQ(reader.next().value()->granted().value(), matching());
  ASSERT_EQ(reader.next().value()->count, 2u);
  for (const bool sought : {false, true}) {
    if (sought) {
      ASSERT_TRUE(reader.seek(Offset(2)));
    }
    const auto gap = reader.next().value();
    ASSERT_EQ(gap->kind, BatchKind::gap);
    EXPECT_EQ(gap->gap().from, Sequence(3));
    EXPECT_EQ(gap->gap().to, Sequence(7));
    EXPECT_EQ(gap->gap().reason, 42u);
    EXPECT_EQ(gap->next_offset(), Offset(2));
    EXPECT_EQ(reader.next().value()->granted().value().epoch, Epoch(2));
    const auto events = reader.next().value();
    EXPECT_EQ(events->first_sequence, Sequence(8));
    EXPECT_EQ(events->next_offset(), Offset(3));
    EXPECT_FALSE(reader.next().value());
  }
  const auto publishers = reader.publishers().value();
  ASSERT_EQ(publishers.size(), 1u);
  EXPECT_EQ(publishers[0].last_sequence, Sequence(8));
}

TEST_P(ReaderTest, ReadsOnInASegmentThatIsDeletedUnderIt) {
  Writer writer = fill(5);
  Reader reader = open();
  const std::uint64_t second = list_segment_files(files_, folder_).value()[1].first_offset.value();
  ASSERT_TRUE(reader.next().value());
  ASSERT_EQ(writer.retain(32768).value(), 4u);  // the first is unlinked, another one is kept for the next segment
  ASSERT_TRUE(writer.prepare_next_segment());
  std::uint64_t seen = 0;
  for (;;) {
    const auto batch = reader.next();
    if (!batch) {
      EXPECT_EQ(batch.error().code, ErrorCode::deleted) << batch.error().message;
      break;
    }
    ASSERT_TRUE(*batch);
    seen = (*batch)->next_offset().value();
  }
  EXPECT_EQ(seen, second);
  EXPECT_EQ(reader.seek(Offset(0)).error().code, ErrorCode::deleted);
  Reader later = open();
  ASSERT_GT(later.first_offset(), Offset(0));
  EXPECT_TRUE(read_all(later).is(later.first_offset().value(), writer.next_offset().value()));
}

TEST_P(ReaderTest, TakesASegmentThatIsBeingRecycledForDeleted) {
  const Writer writer = fill(5);
  const auto names = list_segment_files(files_, folder_).value();
  const auto lock = [&](SegmentName name) {
    auto file = files_.open(join(folder_, to_file_name(name)), OpenMode::read_write).value();
    EXPECT_TRUE(file->try_lock(LockMode::exclusive).value());
    return file;
  };
  {
    Reader earlier = open();
    ASSERT_TRUE(earlier.seek(names[3].first_offset));
    const auto recycled = lock(names[0]);
    Reader later = open();
    EXPECT_EQ(later.first_offset(), names[1].first_offset);
    for (Reader* reader : {&earlier, &later}) {
      EXPECT_EQ(reader->seek(Offset(1)).error().code, ErrorCode::deleted);
      EXPECT_EQ(reader->first_offset(), names[1].first_offset);
      ASSERT_TRUE(reader->seek(names[1].first_offset + 1));
      ASSERT_TRUE(reader->seek_time(WallTime{0}));
      EXPECT_TRUE(read_all(*reader).is(names[1].first_offset.value(), writer.next_offset().value()));
    }
  }
  const auto newest = lock(names[4]);  // nobody recycles that
  EXPECT_EQ(Reader::open(files_, folder_, GetParam()).error().code, ErrorCode::deleted);
}

TEST_P(ReaderTest, SaysThatOffsetsWereGivenOutAgain) {
  {
    auto writer = begin(files_, small_segments(), folder_);
    ASSERT_TRUE(add_synced(*writer, 3));
    ASSERT_TRUE(add(*writer, 4));
  }
  Reader reader = open();
  ASSERT_TRUE(read_all(reader).is(0, 7));
  {  // the power goes, and with it the last batch
    auto file = files_.open(segment_paths(files_, folder_).at(0), OpenMode::read_write).value();
    const std::vector<std::byte> zeros(16384);
    const std::uint64_t kept = 4096 + 2 * sizeof(BatchHeader) + sizeof(PublisherRecord) + 3 * frame_size(64);
    ASSERT_TRUE(write_all(*file, zeros, {}, kept));
  }
  auto writer = begin(files_, small_segments(), folder_);
  ASSERT_EQ(writer->next_offset(), Offset(3));
  ASSERT_TRUE(add(*writer, 6));
  Result<std::optional<BatchView>> told = reader.next(Offset(9));
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::rolled_back);
  EXPECT_EQ(reader.position(), Offset(3));
  EXPECT_TRUE(read_all(reader).is(3, 9));
}

TEST(ReaderAtTheTail, ReadsLittleHoweverLargeTheSegment) {
  FaultFileSystem files;
  auto writer = begin(files, small_segments(8 << 20));
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(add(*writer, 1));
  ASSERT_TRUE(read_all(*reader).is(0, 1));
  const std::uint64_t bytes = files.bytes_read();
  const std::uint64_t operations = files.operations();
  for (std::uint64_t i = 1; i <= 100; ++i) {
    ASSERT_TRUE(add(*writer, 1));
    ASSERT_TRUE(read_all(*reader).is(i, i + 1));
    ASSERT_FALSE(reader->next().value());
  }
  EXPECT_LT(files.bytes_read() - bytes, 100u * 40'000);
  EXPECT_LT(files.operations() - operations, 100u * 20);
}

TEST(ReaderAtTheTail, ReadsWhatIsNewToTellTheEnd) {
  FaultFileSystem files;
  auto writer = begin(files, small_segments(8 << 20));
  ASSERT_TRUE(add(*writer, 1000));
  auto reader = Reader::open(files, "t");
  ASSERT_EQ(reader->end_offset().value(), Offset(1000));
  const std::uint64_t bytes = files.bytes_read();
  for (std::uint64_t i = 1; i <= 100; ++i) {
    ASSERT_TRUE(add(*writer, 1));
    ASSERT_EQ(reader->end_offset().value(), Offset(1000 + i));
  }
  EXPECT_LT(files.bytes_read() - bytes, 100u * 40'000);
}

TEST(ReaderOfARecycledSegment, NeverSeesTheBatchesOfItsEarlierLife) {
  FaultFileSystem files;
  auto writer = begin(files);
  // Equal batches: those of the earlier life stand where the next ones will.
  while (segment_paths(files).size() < 3) ASSERT_TRUE(add(*writer, 10));
  ASSERT_EQ(writer->retain(2 * 32768).value(), 1u);
  ASSERT_FALSE(writer->prepare_next_segment().value());  // ready: its blocks were written before
  const std::size_t before = segment_paths(files).size();
  while (segment_paths(files).size() == before) ASSERT_TRUE(add(*writer, 10));
  const auto end = writer->next_offset().value();
  auto reader = Reader::open(files, "t");
  EXPECT_TRUE(read_all(*reader).is(reader->first_offset().value(), end));
  const std::vector<std::byte>& bytes = *files.bytes_of(segment_paths(files).back());
  const std::uint64_t number = list_segment_files(files, "t").value().back().number.value();
  std::size_t stale = 0;
  for (std::size_t at = 4096; at + sizeof(BatchHeader) <= bytes.size(); at += 8) {
    BatchHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    stale += header.magic == batch_magic && header.segment != number;
  }
  EXPECT_GT(stale, 5u);  // they are there
  files.crash(3);
  EXPECT_TRUE(Writer::open(files, "t", small_segments(), WallTime{1}));
}

}  // namespace
}  // namespace millrace::wal
