// Proves that a frame keeps its layout, which rings and logs share, and that no length in untrusted bytes is believed.
#include "bus/base/frame.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace millrace {
namespace {

std::vector<std::byte> make_frame(std::size_t payload_size, std::uint64_t sequence) {
  std::vector<std::byte> bytes(frame_size(payload_size));
  FrameHeader header{};
  header.length = static_cast<std::uint32_t>(frame_header_size + payload_size);
  header.sequence = sequence;
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

// If this fails the format changed: logs and rings of released versions would be misread. Give the log format a new
// version and keep reading the old one.
TEST(Frame, LiesInMemoryAsDocumented) {
  FrameHeader header{0x11121314, 0x2122, 0x3132, 0x41, 0x51, 0x61, 0x71};
  unsigned char bytes[40];
  std::memcpy(bytes, &header, sizeof bytes);
  EXPECT_EQ(bytes[0], 0x14);
  EXPECT_EQ(bytes[3], 0x11);
  EXPECT_EQ(bytes[4], 0x22);
  EXPECT_EQ(bytes[6], 0x32);
  EXPECT_EQ(bytes[8], 0x41);
  EXPECT_EQ(bytes[16], 0x51);
  EXPECT_EQ(bytes[24], 0x61);
  EXPECT_EQ(bytes[32], 0x71);
}

TEST(Frame, SizeIsPaddedToEight) {
  EXPECT_EQ(frame_size(0), 40u);
  EXPECT_EQ(frame_size(1), 48u);
  EXPECT_EQ(frame_size(8), 48u);
  EXPECT_EQ(frame_size(184), 224u);
}

TEST(FrameCursor, WalksWholeFramesToTheEnd) {
  std::vector<std::byte> bytes;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto frame = make_frame(5 * i, i);
    bytes.insert(bytes.end(), frame.begin(), frame.end());
  }
  FrameCursor cursor(bytes);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto frame = cursor.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->sequence(), Sequence(i));
    EXPECT_EQ(frame->payload().size(), 5 * i);
  }
  EXPECT_FALSE(cursor.next());
  EXPECT_FALSE(cursor.malformed());
}

TEST(FrameCursor, StopsAtALengthThatDoesNotFit) {
  for (const std::uint32_t length : {0u, 39u, 49u, 0xffffffffu}) {
    auto bytes = make_frame(8, 1);
    std::memcpy(bytes.data(), &length, sizeof length);
    FrameCursor cursor(bytes);
    EXPECT_FALSE(cursor.next()) << length;
    EXPECT_TRUE(cursor.malformed()) << length;
  }
}

TEST(FrameCursor, StopsAtATruncatedFrame) {
  const auto bytes = make_frame(16, 1);
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    const std::span<const std::byte> whole(bytes);
    FrameCursor cursor(whole.first(size));
    EXPECT_FALSE(cursor.next());
    EXPECT_TRUE(cursor.malformed());
  }
}

TEST(Frame, KeepsTheLengthThatWasCheckedWhateverIsWrittenOverItLater) {
  alignas(8) std::array<std::byte, 64> page{};
  auto& header = *reinterpret_cast<FrameHeader*>(page.data());
  header.length = frame_header_size + 8;
  FrameCursor cursor(page);
  const auto frame = cursor.next();
  ASSERT_TRUE(frame);
  header.length = 1 << 30;  // a hostile publisher, after the check
  EXPECT_EQ(frame->payload().size(), 8u);
  EXPECT_EQ(frame->size(), frame_header_size + 8);
}

}  // namespace
}  // namespace millrace
