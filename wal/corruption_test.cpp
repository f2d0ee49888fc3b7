// Proves that a torn tail is the normal end, that anything else that is bad is reported with what it hits, and that
// nothing that could hold synced events is ever deleted.
#include <gtest/gtest.h>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

TEST(Corruption, ATailTornAtAnyByteIsTheNormalEnd) {
  FaultFileSystem files;
  std::uint64_t begin_of_last = 0;
  {
    auto writer = begin(files);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(add_synced(*writer, 2));
    begin_of_last = 4096 + writer->unsynced_bytes() + 2 * sizeof(BatchHeader) + sizeof(PublisherRecord) + 208;
    ASSERT_TRUE(add(*writer, 2));
  }
  const std::string path = segment_paths(files).at(0);
  const auto whole = *files.bytes_of(path);
  const std::uint64_t last_size = sizeof(BatchHeader) + 208;
  for (std::uint64_t kept = 0; kept < last_size; ++kept) {
    FaultFileSystem torn;
    { auto first = torn.create(path).value(); }
    *torn.bytes_of(path) = whole;
    auto& bytes = *torn.bytes_of(path);
    for (std::uint64_t i = begin_of_last + kept; i < bytes.size(); ++i) bytes[i] = std::byte{0xff};
    const Seen seen = read_log(torn);
    // The last bytes of the last frame are its padding and payload: the checksum covers them too.
    ASSERT_TRUE(seen.is(0, 2)) << kept << " " << seen.problem;
    ASSERT_TRUE(seen.corruptions.empty()) << kept;
    auto writer = Writer::open(torn, "t", small_segments(), WallTime{1});
    ASSERT_TRUE(writer) << kept;
    EXPECT_EQ(writer->next_offset(), Offset(2));
    EXPECT_TRUE(writer->recovered().corruptions.empty());
    ASSERT_TRUE(add(*writer, 5));
    EXPECT_TRUE(read_log(torn).is(0, 7)) << kept;
  }
}

TEST(Corruption, AFlippedBitInAnyByteIsFoundAndReported) {
  FaultFileSystem files;
  std::uint64_t used = 0;
  {
    auto writer = begin(files, small_segments(16384));
    ASSERT_TRUE(writer);
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(add_synced(*writer, 2));
    }
    used = 4096 + 5 * sizeof(BatchHeader) + sizeof(PublisherRecord) + 4 * 208;
  }
  // Closed by a second start, whose segment proves that all of the first was synced.
  ASSERT_EQ(begin(files, small_segments(16384)).value().run().value(), 2u);
  const auto paths = segment_paths(files);
  ASSERT_EQ(paths.size(), 2u);
  ASSERT_TRUE(read_log(files).is(0, 8));
  auto& bytes = *files.bytes_of(paths[0]);
  for (std::uint64_t at = 0; at < used; ++at) {
    bytes[at] ^= std::byte{0x10};
    const Seen seen = read_log(files);
    if (at < 4096) {  // the header: all batches are found behind it
      ASSERT_TRUE(seen.is(0, 8)) << at << " " << seen.problem;
      ASSERT_EQ(seen.corruptions.size(), 1u) << at;
      EXPECT_EQ(seen.corruptions[0].from_byte, 0u);
      EXPECT_EQ(seen.corruptions[0].to_byte, 4096u);
    } else {
      ASSERT_TRUE(seen.problem.empty()) << at << " " << seen.problem;
      ASSERT_EQ(seen.corruptions.size(), 1u) << at;
      const Corruption& corruption = seen.corruptions[0];
      EXPECT_LE(corruption.from_byte, at);
      EXPECT_GT(corruption.to_byte, at);
      // What is lost and what was read make up the whole.
      EXPECT_EQ(seen.offsets.size() + (corruption.to - corruption.from), 8u) << at;
      EXPECT_LE(corruption.to - corruption.from, 2u) << at;
    }
    bytes[at] ^= std::byte{0x10};
  }
  for (std::uint64_t at = used; at < bytes.size(); ++at) {  // behind the end that the second segment names
    bytes[at] ^= std::byte{0x10};
  }
  const Seen seen = read_log(files);
  EXPECT_TRUE(seen.is(0, 8));
  EXPECT_TRUE(seen.corruptions.empty());
}

TEST(Corruption, ALostHeaderOfTheNewestSegmentLosesNoEvent) {
  FaultFileSystem files;
  {
    auto writer = begin(files);
    ASSERT_TRUE(writer);
    while (segment_paths(files).size() < 2) ASSERT_TRUE(add_synced(*writer, 20));
  }
  const std::uint64_t end = read_log(files).offsets.size();
  auto& header = *files.bytes_of(segment_paths(files).at(1));
  std::fill_n(header.begin(), 4096, std::byte{0});
  auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(writer) << writer.error().message;
  EXPECT_EQ(writer->next_offset(), Offset(end));
  ASSERT_EQ(writer->recovered().corruptions.size(), 1u);
  EXPECT_EQ(writer->recovered().corruptions[0].to_byte, 4096u);
  ASSERT_TRUE(add(*writer, 3));
  const Seen seen = read_log(files);
  EXPECT_TRUE(seen.is(0, end + 3)) << seen.problem;
  EXPECT_EQ(seen.corruptions.size(), 1u);
}

TEST(Corruption, AnEmptySegmentFileIsReportedAndTheLogGoesOn) {
  FaultFileSystem files;
  {
    auto writer = begin(files);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(add(*writer, 20));
  }
  { auto empty = files.create(join("t", to_file_name({Offset(20), SegmentNumber(2)}))).value(); }
  auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_TRUE(writer) << writer.error().message;
  EXPECT_EQ(writer->recovered().corruptions.size(), 1u);
  ASSERT_TRUE(add(*writer, 1));
  EXPECT_TRUE(read_log(files).is(0, 21));
}

TEST(Corruption, ALogOfWhichNothingCanBeReadIsRefused) {
  FaultFileSystem files;
  { ASSERT_TRUE(Writer::open(files, "t", small_segments(), WallTime{1})); }
  files.bytes_of(segment_paths(files).at(0))->clear();
  const auto writer = Writer::open(files, "t", small_segments(), WallTime{1});
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::corrupt);
  EXPECT_NE(writer.error().message.find("0000000001.wal"), std::string::npos);
  EXPECT_EQ(segment_paths(files).size(), 1u);
}

TEST(Corruption, AMissingSegmentIsReportedWithItsOffsets) {
  FaultFileSystem files;
  std::vector<std::uint64_t> first;
  auto writer = begin(files);
  ASSERT_TRUE(writer);
  while (segment_paths(files).size() < 4) ASSERT_TRUE(add(*writer, 20));
  const auto names = list_segment_files(files, "t").value();
  ASSERT_TRUE(files.unlink(join("t", to_file_name(names[1]))));
  const Seen seen = read_log(files);
  EXPECT_TRUE(seen.problem.empty()) << seen.problem;
  ASSERT_EQ(seen.corruptions.size(), 1u);
  EXPECT_TRUE(seen.corruptions[0].missing);
  EXPECT_EQ(seen.corruptions[0].segment, names[1]);
  EXPECT_EQ(seen.corruptions[0].from, names[1].first_offset);
  EXPECT_EQ(seen.corruptions[0].to, names[2].first_offset);
  EXPECT_EQ(seen.offsets.size() + (names[2].first_offset - names[1].first_offset), writer->next_offset().value());
}

TEST(Corruption, AnotherVersionIsRefusedByName) {
  FaultFileSystem files;
  { ASSERT_TRUE(begin(files)); }
  auto& bytes = *files.bytes_of(segment_paths(files).at(0));
  bytes[4] = std::byte{9};
  bytes[8] ^= std::byte{0x5a};  // another version checksums otherwise
  for (const Error& error :
       {Writer::open(files, "t", small_segments(), WallTime{1}).error(), Reader::open(files, "t").error()}) {
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_NE(error.message.find("format version 9"), std::string::npos) << error.message;
  }
}

TEST(Corruption, ASegmentThatNoHeaderNamesIsKeptIfItHoldsABatch) {
  FaultFileSystem files;
  {
    auto writer = begin(files);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(add_synced(*writer, 5));
  }
  // A copy of it under another name: the newest segment continues the first, not this.
  const auto names = list_segment_files(files, "t").value();
  { ASSERT_EQ(begin(files).value().run().value(), 2u); }
  const std::string stray = join("t", to_file_name({Offset(99), names[0].number}));
  { auto copy = files.create(stray).value(); }
  *files.bytes_of(stray) = *files.bytes_of(join("t", to_file_name(names[0])));
  { auto writer = Writer::open(files, "t", small_segments(), WallTime{1}); }
  EXPECT_NE(files.bytes_of(join("t", to_file_name(names[0]))), nullptr);
  EXPECT_EQ(files.bytes_of(stray), nullptr);
  EXPECT_NE(files.bytes_of(stray + ".bad"), nullptr);
  EXPECT_TRUE(read_log(files).is(0, 5));
}

TEST(Corruption, AProvenBadBatchOfTheOpenSegmentIsReported) {
  FaultFileSystem files;
  auto writer = begin(files);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(add_synced(*writer, 2));
  const std::uint64_t bad = 4096 + sizeof(BatchHeader) + sizeof(PublisherRecord) + 100;
  (*files.bytes_of(segment_paths(files).at(0)))[bad] ^= std::byte{1};
  auto follower = Reader::open(files, "t");
  ASSERT_TRUE(follower);
  EXPECT_TRUE(read_all(*follower).offsets.empty());  // a torn tail, as far as anybody can know
  ASSERT_TRUE(add(*writer, 3));                      // says how far the log was synced
  const Seen seen = read_log(files);
  ASSERT_EQ(seen.corruptions.size(), 1u);
  EXPECT_EQ(seen.corruptions[0].from, Offset(0));
  EXPECT_EQ(seen.corruptions[0].to, Offset(2));
  EXPECT_EQ(seen.offsets, (std::vector<std::uint64_t>{2, 3, 4}));
  // Who had seen the tail before finds out too, by looking a little at each poll.
  Seen later;
  for (int polls = 0; polls < 100 && later.corruptions.empty(); ++polls) later = read_all(*follower);
  EXPECT_EQ(later.corruptions.size(), 1u);
}

// Seeking stands at the batch before, so that a gap recorded between is seen too; that one may be bad.
TEST(Corruption, WhatIsLostBeforeTheOffsetThatWasSoughtIsNotReported) {
  FaultFileSystem files;
  auto writer = begin(files);
  ASSERT_TRUE(writer);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(add_synced(*writer, 2));
  auto& bytes = *files.bytes_of(segment_paths(files).at(0));
  const std::uint64_t batch = sizeof(BatchHeader) + 2 * frame_size(64);
  const std::uint64_t third = 4096 + sizeof(BatchHeader) + sizeof(PublisherRecord) + 2 * batch;
  bytes.at(third + sizeof(BatchHeader) + 8) ^= std::byte{1};
  auto reader = Reader::open(files, "t");
  ASSERT_TRUE(reader);
  for (const std::uint64_t from : {4u, 5u, 6u}) {
    ASSERT_TRUE(reader->seek(Offset(from)));
    const Seen seen = read_all(*reader, Offset(from));
    EXPECT_TRUE(seen.is(6, 10)) << from;
    EXPECT_EQ(seen.corruptions.size(), from < 6 ? 1u : 0u) << from;
  }
}

}  // namespace
}  // namespace millrace::wal
