// Proves that the bytes of the log are those that FORMAT.md shows, and that sizes, numbers and checksums stay as
// released.
#include "wal/format.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

constexpr const char* advice =
    "The bytes on disk have changed, so logs that were written before cannot be read any more. Put it back; or raise "
    "format_version, keep a reader for the old version or refuse it by name, and rewrite FORMAT.md.";

TEST(Format, IsWhatWasReleasedAsVersionOne) {
  EXPECT_EQ(format_version, 1) << advice;
  EXPECT_EQ(segment_magic, 0x53574c4du) << advice;
  EXPECT_EQ(batch_magic, 0x42574c4du) << advice;
  EXPECT_EQ(index_magic, 0x49574c4du) << advice;
  EXPECT_EQ(keys_magic, 0x4b574c4du) << advice;
  EXPECT_EQ(consumers_magic, 0x43574c4du) << advice;
  EXPECT_EQ(consumers_copy_bytes, 8192u) << advice;
  EXPECT_EQ(header_alignment, 4096u) << advice;
  EXPECT_EQ(checksummed_from, 16u) << advice;
  EXPECT_EQ(sizeof(SegmentHeader), 104u) << advice;
  EXPECT_EQ(sizeof(PublisherRecord), 96u) << advice;
  EXPECT_EQ(sizeof(BatchHeader), 128u) << advice;
  EXPECT_EQ(sizeof(GapRecord), 24u) << advice;
  EXPECT_EQ(sizeof(IndexHeader), 56u) << advice;
  EXPECT_EQ(sizeof(IndexEntry), 24u) << advice;
  EXPECT_EQ(sizeof(KeysHeader), 72u) << advice;
  EXPECT_EQ(sizeof(KeysEntry), 24u) << advice;
  EXPECT_EQ(sizeof(ConsumersHeader), 48u) << advice;
  EXPECT_EQ(sizeof(ConsumerEntry), 88u) << advice;
  EXPECT_EQ(sizeof(FrameHeader), 40u) << advice;
  EXPECT_EQ(static_cast<int>(BatchKind::events), 1) << advice;
  EXPECT_EQ(static_cast<int>(BatchKind::publisher), 2) << advice;
  EXPECT_EQ(static_cast<int>(BatchKind::gap), 3) << advice;
  EXPECT_EQ(checksum_of({}), 0x2d06800538d394c2u) << advice;  // XXH3, 64 bits, seed 0
  EXPECT_EQ(to_file_name({Offset(20), SegmentNumber(3)}), "00000000000000000020-0000000003.wal") << advice;
  EXPECT_EQ(to_index_name({Offset(20), SegmentNumber(3)}), "00000000000000000020-0000000003.idx") << advice;
}

// The log of the worked example.
std::vector<std::byte> example() {
  FaultFileSystem files;
  const WallTime now{1'700'000'000'000'000'000};
  auto writer = Writer::open(files, "t", testing::small_segments(16384), now).value();
  PublisherEntry entry = testing::matching();
  for (std::uint8_t i = 0; i < 16; ++i) entry.incarnation.bytes[i] = static_cast<std::uint8_t>(0xa0 + i);
  EXPECT_TRUE(writer.append_publisher(entry, now));
  std::vector<std::byte> bytes;
  for (std::uint64_t sequence = 1; sequence <= 2; ++sequence) {
    FrameHeader header{};
    header.length = 45;
    header.event_type = 1;
    header.sequence = sequence;
    header.publish_time = now.ns - 1000;
    const char* payload = sequence == 1 ? "hello" : "world";
    std::array<std::byte, 48> frame{};
    std::memcpy(frame.data(), &header, sizeof header);
    std::memcpy(frame.data() + sizeof header, payload, 5);
    bytes.insert(bytes.end(), frame.begin(), frame.end());
  }
  writer.append(testing::publisher, Epoch(1), Sequence(1), 2, bytes, now + std::chrono::nanoseconds(500)).value();
  EXPECT_TRUE(writer.append_gap(testing::publisher, Sequence(3), Sequence(9), 0, now + std::chrono::nanoseconds(900)));
  return *files.bytes_of(testing::segment_paths(files).at(0));
}

std::string dump(const std::vector<std::byte>& bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    const bool zeros =
        std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    bytes.begin() + static_cast<std::ptrdiff_t>(at + 8), [](std::byte b) { return b == std::byte{0}; });
    if (zeros) continue;
    char line[64];
    std::snprintf(line, sizeof line, "%04zx:", at);
    text += line;
    for (std::size_t i = at; i < at + 8; ++i) {
      std::snprintf(line, sizeof line, " %02x", std::to_integer<unsigned>(bytes[i]));
      text += line;
    }
    text += "\n";
  }
  return text;
}

TEST(Format, IsWhatTheWorkedExampleOfFormatMdShows) {
  const std::vector<std::byte> written = example();
  std::ifstream in(MILLRACE_WAL_FORMAT_MD);
  ASSERT_TRUE(in) << MILLRACE_WAL_FORMAT_MD;
  std::vector<std::byte> shown(written.size());
  std::string line;
  std::size_t lines = 0;
  while (std::getline(in, line)) {
    unsigned at = 0;
    unsigned b[8];
    if (std::sscanf(line.c_str(), "%4x: %2x %2x %2x %2x %2x %2x %2x %2x", &at, &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
                    &b[6], &b[7]) != 9) {
      continue;
    }
    ++lines;
    ASSERT_LE(at + 8, shown.size());
    for (std::size_t i = 0; i < 8; ++i) shown[at + i] = static_cast<std::byte>(b[i]);
  }
  EXPECT_GT(lines, 50u);
  // All that is not shown is zero.
  EXPECT_TRUE(shown == written) << advice << "\nThe writer's bytes:\n" << dump(written);
}

}  // namespace
}  // namespace millrace::wal
