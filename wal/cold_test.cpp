// Proves that a compressed segment is read as it was, by whatever reads it, that damage to it is named and costs what
// it hits, and that compressing it loses nothing wherever it is cut off.
#include "wal/cold.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "wal/chain.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/locate.hpp"
#include "wal/seals.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr WallTime all{std::numeric_limits<std::int64_t>::max()};
constexpr std::uint64_t big = 1 << 20;  // a segment of several blocks

// Events that cannot be compressed much, so that bytes read tell how many blocks were.
Status add_noise(Writer& writer, std::uint32_t count, std::mt19937_64& random, WallTime now) {
  const PublisherEntry& entry = writer.publishers().at(0);
  const Sequence first = entry.last_sequence.next();
  auto bytes = frames(first.value(), count, 200);
  for (std::uint32_t i = 0; i < count; ++i) {
    for (std::size_t at = frame_header_size; at < frame_header_size + 200; at += 8) {
      const std::uint64_t value = random();
      std::memcpy(bytes.data() + i * frame_size(200) + at, &value, sizeof value);
    }
  }
  const auto done = writer.append(publisher, entry.epoch, first, count, bytes, now);
  if (!done) return fail(done.error());
  return {};
}

// A log of `segments`, synced; the events' record times are their offsets. The number of events.
std::uint64_t write_log(FaultFileSystem& files, std::size_t segments, std::uint64_t size = big) {
  std::mt19937_64 random(1);
  auto writer = begin(files, small_segments(size));
  while (segment_paths(files).size() < segments) {
    const auto now = WallTime{static_cast<std::int64_t>(writer->next_offset().value()) + 1};
    EXPECT_TRUE(add_noise(*writer, 10, random, now));
  }
  EXPECT_TRUE(writer->sync());
  return writer->next_offset().value();
}
Status take_all_care(Writer& writer, WallTime cold = all) {
  while (auto ticket = writer.take_care(cold)) {
    const Status done = ticket->run();
    MILLRACE_TRY(writer.complete_care(*ticket, done));
  }
  return {};
}
// Compresses all sealed segments through a writer, which adds one that is empty.
void compress_all(FaultFileSystem& files, std::uint64_t size = big) {
  auto writer = Writer::open(files, "t", small_segments(size), WallTime{1});
  ASSERT_TRUE(writer) << writer.error().message;
  const Status done = take_all_care(*writer);
  ASSERT_TRUE(done) << done.error().message;
}
std::vector<std::string> names_in(FaultFileSystem& files) {
  return files.list("t").value();
}
std::vector<std::string> cold_paths(FaultFileSystem& files) {
  std::vector<std::string> paths;
  for (const std::string& name : names_in(files)) {
    if (name.ends_with(".zst")) paths.push_back(join("t", name));
  }
  return paths;
}

TEST(Cold, ASegmentIsReadAsItWas) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 4);
  const auto before = segment_paths(files);
  const auto whole = *files.bytes_of(before[1]);
  compress_all(files);
  EXPECT_EQ(cold_paths(files).size(), 4u);
  EXPECT_EQ(files.bytes_of(before[0]), nullptr) << "the first file is gone";
  for (const ReadMode mode : {ReadMode::pread, ReadMode::mapped}) {
    auto reader = Reader::open(files, "t", mode);
    ASSERT_TRUE(reader) << reader.error().message;
    const Seen seen = read_all(*reader);
    EXPECT_TRUE(seen.is(0, end)) << seen.problem;
    EXPECT_TRUE(seen.corruptions.empty());
    for (std::uint64_t offset = 1; offset < end; offset += 97) {
      ASSERT_TRUE(reader->seek(Offset(offset)));
      auto batch = reader->next();
      ASSERT_TRUE(batch && *batch);
      EXPECT_LE((*batch)->first_offset, Offset(offset));
      EXPECT_GT((*batch)->next_offset(), Offset(offset));
      ASSERT_TRUE(reader->seek_time(WallTime{static_cast<std::int64_t>(offset)}));
      batch = reader->next();
      ASSERT_TRUE(batch && *batch);
      EXPECT_GE((*batch)->record_time.ns, static_cast<std::int64_t>(offset));
      EXPECT_LE((*batch)->record_time.ns, static_cast<std::int64_t>(offset) + 10);
    }
  }
  const auto found = locate(files, "t", publisher, Epoch(1), Sequence(end / 2 + 1));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, Offset(end / 2));
  // Byte for byte, at any place and of any size.
  auto file = open_segment_file(files, "t", list_segment_files(files, "t")->at(1));
  ASSERT_TRUE(file);
  const std::uint64_t size = (*file)->size().value();
  ASSERT_LE(size, whole.size());
  std::mt19937_64 random(2);
  std::vector<std::byte> bytes;
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t at = random() % (size + 10);
    bytes.resize(random() % (i % 3 == 0 ? 700'000 : 300));
    const auto got = (*file)->pread(bytes, at);
    ASSERT_TRUE(got);
    ASSERT_EQ(*got, at < size ? std::min<std::uint64_t>(bytes.size(), size - at) : 0);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*got),
                           whole.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(at, whole.size()))));
  }
  // A writer goes on behind it.
  auto writer = Writer::open(files, "t", small_segments(big), WallTime{1});
  ASSERT_TRUE(writer);
  EXPECT_TRUE(writer->recovered().corruptions.empty());
  ASSERT_TRUE(add(*writer, 5));
  EXPECT_TRUE(read_log(files).is(0, end + 5));
}

TEST(Cold, ReadingInOrderDecompressesEachBlockOnceAndASeekAFew) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 4);
  compress_all(files);
  std::uint64_t compressed = 0;
  for (const std::string& path : cold_paths(files)) compressed += files.bytes_of(path)->size();
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(reader);
  const std::uint64_t before = files.bytes_read();
  while (reader->position() < Offset(end)) {
    const auto batch = reader->next(Offset(end));
    ASSERT_TRUE(batch && *batch);
  }
  EXPECT_LT(files.bytes_read() - before, compressed + 128 * 1024) << "of headers and tables";
  // A block of 256 KiB, and the next, where what is read ahead begins in one and ends in the other.
  auto segment = SegmentReader::open(files, "t", list_segment_files(files, "t")->at(1), ReadMode::pread);
  ASSERT_TRUE(segment);
  const std::uint64_t read = files.bytes_read();
  std::array<std::byte, 64> bytes{};
  ASSERT_TRUE(segment->file().pread(bytes, 700'000));
  ASSERT_TRUE(segment->file().pread(bytes, 700'100));
  EXPECT_GT(files.bytes_read(), read);
  EXPECT_LE(files.bytes_read() - read, cold_block_bytes + 64);
}

TEST(Cold, DamageIsNamedAndCostsWhatItHits) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 3, 768 * 1024);
  compress_all(files, 768 * 1024);
  const std::string path = cold_paths(files).at(1);
  auto& bytes = *files.bytes_of(path);
  const auto whole = bytes;
  std::size_t harmful = 0;
  ColdHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::uint64_t behind_first = header.end - header.first_block_bytes;
  const std::size_t table = sizeof(ColdTrailer) + 8 * (1 + (behind_first + cold_block_bytes - 1) / cold_block_bytes);
  for (std::size_t at = 0; at < bytes.size();) {
    bytes[at] ^= std::byte{0x20};
    const Seen seen = read_log(files);
    ASSERT_TRUE(seen.problem.empty()) << at << " " << seen.problem;
    std::uint64_t lost = 0;
    for (const Corruption& corruption : seen.corruptions) {
      EXPECT_LE(corruption.to_byte - corruption.from_byte, cold_block_bytes + 8192) << at;
      lost += corruption.to - corruption.from;
    }
    ASSERT_EQ(seen.offsets.size() + lost, end) << at;
    harmful += lost > 0;
    if (at < sizeof(ColdHeader) || at >= bytes.size() - table) {
      EXPECT_TRUE(seen.corruptions.empty()) << "the header is there twice, and the table is only a short cut: " << at;
    }
    bytes[at] = whole[at];
    const bool dense = at < 200 || at + table + 64 >= bytes.size();
    at += dense ? 1 : std::min<std::size_t>(20'011, bytes.size() - table - 64 - at);
  }
  EXPECT_GT(harmful, 20u);
  // Both headers: nothing of it can be read, and the log goes on behind it.
  bytes[20] ^= std::byte{1};
  bytes[bytes.size() - 30] ^= std::byte{1};
  Seen seen = read_log(files);
  ASSERT_EQ(seen.corruptions.size(), 1u) << seen.problem;
  EXPECT_EQ(seen.corruptions[0].from_byte, 0u);
  EXPECT_EQ(seen.offsets.size() + (seen.corruptions[0].to - seen.corruptions[0].from), end);
  bytes = whole;
  // Cut off: what stands before is read, by the frames alone.
  bytes.resize(bytes.size() / 2);
  seen = read_log(files);
  EXPECT_TRUE(seen.problem.empty()) << seen.problem;
  ASSERT_EQ(seen.corruptions.size(), 1u);
  EXPECT_GT(seen.corruptions[0].from_byte, cold_block_bytes);
  EXPECT_EQ(seen.offsets.size() + (seen.corruptions[0].to - seen.corruptions[0].from), end);
  // Another version.
  bytes = whole;
  bytes[4] = bytes[bytes.size() - 52] = std::byte{2};
  ASSERT_TRUE(read_log(files).problem.empty()) << "a flipped bit in both";
  for (const std::size_t at : {std::size_t{8}, bytes.size() - 48}) bytes[at] ^= std::byte{1};
  EXPECT_NE(read_log(files).problem.find("version 2"), std::string::npos);
}

TEST(Cold, CompressingLosesNothingWhereverItFailsOrTheMachineDies) {
  for (std::uint64_t n = 0;; ++n) {
    FaultFileSystem files;
    files.make_writes_short(n % 4 == 0);
    const std::uint64_t end = write_log(files, 3, 32768);
    auto writer = Writer::open(files, "t", small_segments(32768), WallTime{1});
    ASSERT_TRUE(writer);
    files.fail_at(n, n % 5 == 0 ? ErrorCode::no_space : ErrorCode::io_failed, n % 3 == 0);
    const Status done = take_all_care(*writer);
    const bool failed = files.failed();
    EXPECT_TRUE(done || failed) << n << " " << done.error().message;
    files.heal();
    EXPECT_FALSE(writer->failure()) << "nothing of the log is harmed";
    EXPECT_TRUE(read_log(files).is(0, end)) << n;
    if (n % 2 == 0) {
      const Status again = take_all_care(*writer);
      ASSERT_TRUE(again) << n << again.error().message;
      EXPECT_EQ(cold_paths(files).size(), 3u) << n;
    }
    files.crash(n);
    Seen seen = read_log(files);
    ASSERT_TRUE(seen.is(0, end)) << n << " " << seen.problem;
    EXPECT_TRUE(seen.corruptions.empty()) << n;
    auto next = Writer::open(files, "t", small_segments(32768), WallTime{1});
    ASSERT_TRUE(next) << n << next.error().message;
    EXPECT_TRUE(next->recovered().corruptions.empty()) << n;
    for (const std::string& name : names_in(files)) EXPECT_FALSE(name.ends_with(".new")) << n << name;
    ASSERT_TRUE(take_all_care(*next)) << n;
    seen = read_log(files);
    ASSERT_TRUE(seen.is(0, end)) << n << " " << seen.problem;
    EXPECT_EQ(cold_paths(files).size(), 3u) << n;
    EXPECT_EQ(segment_paths(files).size(), 4u) << n;
    const auto seals = verify_seals(files, "t");
    ASSERT_TRUE(seals) << n;
    EXPECT_TRUE(seals->wrong.empty()) << n << seals->wrong.front();
    EXPECT_EQ(seals->sealed, 3u) << n;
    if (!failed) break;
  }
}

TEST(Cold, WhatFailedKeepsNothingOfTheSpaceThatItTook) {
  for (std::uint64_t n = 0;; ++n) {
    FaultFileSystem files;
    write_log(files, 2, 65536);
    const auto chain = list_chain(files, "t").value();
    files.fail_at(n, ErrorCode::no_space);
    const auto done =
        compress_segment({&files, "t", chain[0].name, chain[0].log_id, *chain[0].end, chain[1].name.first_offset, {}});
    const bool failed = files.failed();
    files.heal();
    for (const std::string& name : names_in(files)) EXPECT_FALSE(name.ends_with(".new")) << n << " " << name;
    if (!failed) break;
  }
}

TEST(Cold, OnlyWhatIsOldEnoughIsCompressed) {
  FaultFileSystem files;
  write_log(files, 4, 32768);
  auto writer = Writer::open(files, "t", small_segments(32768), WallTime{1});
  ASSERT_TRUE(writer);
  const auto names = list_segment_files(files, "t").value();
  ASSERT_TRUE(take_all_care(*writer, WallTime{static_cast<std::int64_t>(names[1].first_offset.value())}));
  EXPECT_EQ(cold_paths(files).size(), 0u) << "its last event is as old as that";
  ASSERT_TRUE(take_all_care(*writer, WallTime{static_cast<std::int64_t>(names[2].first_offset.value())}));
  EXPECT_EQ(cold_paths(files).size(), 1u);
  ASSERT_TRUE(take_all_care(*writer));
  EXPECT_EQ(cold_paths(files).size(), 4u) << "but for the open one";
}

TEST(Cold, ASegmentWithBothFilesCountsOnceAndIsReadFromTheFirst) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 3, 32768);
  const auto paths = segment_paths(files);
  const auto first = *files.bytes_of(paths[0]);
  compress_all(files, 32768);
  { auto file = files.create(paths[0]).value(); }
  *files.bytes_of(paths[0]) = first;
  auto& cold = *files.bytes_of(cold_paths(files)[0]);
  std::fill(cold.begin(), cold.end(), std::byte{0});
  EXPECT_EQ(segment_paths(files).size(), 4u);
  EXPECT_TRUE(read_log(files).is(0, end));
  compress_all(files, 32768);
  EXPECT_EQ(files.bytes_of(paths[0]), nullptr);
  EXPECT_TRUE(read_log(files).is(0, end)) << "a compressed file that was never finished is made anew";
}

TEST(Cold, IsMadeInStepsAndDroppedWithItsSegment) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 3, 16 << 20);
  auto writer = Writer::open(files, "t", small_segments(16 << 20), WallTime{1});
  ASSERT_TRUE(writer);
  const Offset first = writer->first_offset();
  int steps = 0;
  for (const std::string source = segment_paths(files)[0]; files.bytes_of(source) != nullptr; ++steps) {
    auto ticket = writer->take_care(all);
    ASSERT_TRUE(ticket);
    EXPECT_FALSE(writer->take_care(all)) << "one at a time";
    EXPECT_FALSE(writer->take_deletion(1, WallTime{0})) << "not under the hands of who cares for it";
    const std::uint64_t read = files.bytes_read();
    ASSERT_TRUE(ticket->run());
    EXPECT_LE(files.bytes_read() - read, 2 * care_step_bytes + (1 << 20));
    ASSERT_TRUE(writer->complete_care(*ticket, {}));
  }
  EXPECT_EQ(steps, 13) << "4 MiB each: sealed, written, compared; then the first file is deleted";
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(reader);
  auto begun = reader->next();
  ASSERT_TRUE(begun && *begun);
  // The second is under way, when both are deleted.
  auto ticket = writer->take_care(all);
  ASSERT_TRUE(ticket && ticket->run());
  ASSERT_TRUE(writer->complete_care(*ticket, {}));
  ASSERT_EQ(writer->retain(1).value(), 3u);
  for (const std::string& name : names_in(files)) EXPECT_FALSE(name.find("zst") != std::string::npos) << name;
  EXPECT_FALSE(writer->take_care(all));
  EXPECT_GT(writer->first_offset(), first);
  // Who had the first one open keeps it.
  std::uint64_t seen = (*begun)->next_offset().value();
  while (seen < list_segment_files(files, "t")->front().first_offset.value()) {
    begun = reader->next();
    if (!begun || !*begun) break;
    seen = (*begun)->next_offset().value();
  }
  EXPECT_GT(seen, end / 4);
  EXPECT_EQ(begun.error().code, ErrorCode::deleted);
}

TEST(Cold, AReaderGoesOnAtOnceIntoWhatWasCompressedMeanwhile) {
  FaultFileSystem files;
  auto writer = begin(files);
  ASSERT_TRUE(add_synced(*writer, 10));
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(reader);
  ASSERT_TRUE(read_all(*reader).is(0, 10)) << "it stands at the tail";
  while (segment_paths(files).size() < 4) ASSERT_TRUE(add(*writer, 10));
  ASSERT_TRUE(writer->sync());
  ASSERT_TRUE(take_all_care(*writer));
  ASSERT_EQ(cold_paths(files).size(), 3u);
  const Seen seen = read_all(*reader);
  EXPECT_TRUE(seen.is(10, writer->next_offset().value())) << seen.problem << seen.offsets.size();
}

TEST(Cold, BehindASegmentWhoseHeaderIsLostASecondReadingGoesOnToo) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 4);
  compress_all(files);
  const auto names = list_segment_files(files, "t").value();
  auto& bytes = *files.bytes_of(cold_paths(files)[1]);
  for (std::size_t at = sizeof(ColdHeader); at < sizeof(ColdHeader) + 40; ++at) bytes[at] ^= std::byte{0x55};
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(reader);
  for (int time = 0; time < 3; ++time) {
    ASSERT_TRUE(reader->seek(Offset(3)));
    const Seen seen = read_all(*reader, Offset(3));
    EXPECT_EQ(seen.problem, "");
    ASSERT_EQ(seen.corruptions.size(), 1u) << time;
    EXPECT_EQ(seen.corruptions[0].from, names[1].first_offset);
    ASSERT_FALSE(seen.offsets.empty());
    EXPECT_EQ(seen.offsets.back(), end - 1) << time;
  }
}

TEST(Cold, AFileThatClaimsMoreThanItCanHoldIsBadAndSoonRead) {
  FaultFileSystem files;
  const std::uint64_t end = write_log(files, 3);
  compress_all(files);
  const auto names = list_segment_files(files, "t").value();
  auto& bytes = *files.bytes_of(cold_paths(files)[1]);
  ColdHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  header.end = std::uint64_t{1} << 62;
  header.checksum = checksum_of(std::as_bytes(std::span(&header, 1)).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + bytes.size() - sizeof header, &header, sizeof header);
  auto file = open_segment_file(files, "t", names[1]);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size().value(), 0u);
  const Seen seen = read_log(files);
  EXPECT_EQ(seen.problem, "");
  ASSERT_EQ(seen.corruptions.size(), 1u);
  EXPECT_EQ(seen.corruptions[0].from, names[1].first_offset);
  EXPECT_EQ(seen.corruptions[0].to, names[2].first_offset);
  EXPECT_EQ(seen.offsets.back(), end - 1);
}

TEST(Cold, RetentionCountsTheBytesThatFilesTake) {
  FaultFileSystem files;
  std::uint64_t events = 0;
  {
    auto writer = begin(files);
    while (segment_paths(files).size() < 9) ASSERT_TRUE(add(*writer, 10));  // zeros: they shrink to next to nothing
    ASSERT_TRUE(writer->sync());
    events = writer->next_offset().value();
  }
  auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(take_all_care(*writer));
  std::uint64_t taken = 32768;  // the open one
  for (const std::string& path : cold_paths(files)) taken += files.bytes_of(path)->size();
  ASSERT_LT(taken, 2 * 32768u);
  EXPECT_EQ(writer->retain(taken).value(), 0u);
  EXPECT_EQ(writer->retain(taken - 1).value(), 1u);
  {
    // As a writer that starts sees it.
    Writer gone = std::move(*writer);
  }
  writer = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(writer) << writer.error().message;
  EXPECT_EQ(writer->next_offset(), Offset(events));
  taken = 32768;
  for (const std::string& path : cold_paths(files)) taken += files.bytes_of(path)->size();
  EXPECT_EQ(writer->retain(taken).value(), 0u);
  EXPECT_EQ(writer->retain(taken - 1).value(), 1u);
}

}  // namespace
}  // namespace millrace::wal
