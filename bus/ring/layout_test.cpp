// Proves that the words of a ring stay where released versions look for them.
#include "bus/ring/layout.hpp"

#include <gtest/gtest.h>

#include <cstddef>

namespace millrace::ring {
namespace {

// If one of these fails, processes of different releases no longer understand each other's rings: raise
// layout_version, so that they refuse each other instead.
TEST(RingLayout, KeepsSizesAndOffsets) {
  EXPECT_EQ(layout_version, 1u);
  EXPECT_EQ(sizeof(RingHeader), 256u);
  EXPECT_EQ(offsetof(RingHeader, core), 64u);
  EXPECT_EQ(offsetof(RingHeader, publisher), 128u);
  EXPECT_EQ(offsetof(RingPublisherLine, progress), 8u);
  EXPECT_EQ(offsetof(RingPublisherLine, wanted), 16u);
  EXPECT_EQ(offsetof(FixedLine, pages_offset), 20u);
  EXPECT_EQ(directory_offset, 256u);
  EXPECT_EQ(sizeof(PageHeader), limits::page_header_size);
  EXPECT_EQ(offsetof(PageHeader, core), 64u);
  EXPECT_EQ(offsetof(PageCoreLine, page), 8u);
  EXPECT_EQ(offsetof(PageCoreLine, publisher), 16u);
  EXPECT_EQ(offsetof(PageCoreLine, epoch), 24u);
}

TEST(PageWord, HoldsPageFlagAndNumber) {
  const PageWord word = PageWord::make(PageNumber(0x123456789a), 0x345678, true);
  EXPECT_EQ(word.bits, 0x123456789ab45678u);
  EXPECT_EQ(word.page(), PageNumber(0x123456789a));
  EXPECT_EQ(word.number(), 0x345678u);
  EXPECT_TRUE(word.flag());
  EXPECT_FALSE(PageWord::make(PageNumber(1), 8).flag());
}

}  // namespace
}  // namespace millrace::ring
