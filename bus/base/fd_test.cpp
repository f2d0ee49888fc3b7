// Proves that descriptors close once, that mappings begin at unaligned offsets, and that a read-only share cannot be
// written by whoever gets its descriptor.
#include "bus/base/fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace millrace {
namespace {

TEST(UniqueFd, ClosesItsDescriptorOnce) {
  int number;
  {
    auto fd = make_memfd("test", 4096);
    ASSERT_TRUE(fd);
    UniqueFd moved = std::move(*fd);
    number = moved.get();
    EXPECT_NE(::fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST(Mapping, BeginsAtAnUnalignedOffset) {
  auto fd = make_memfd("test", 8192);
  ASSERT_TRUE(fd);
  auto whole = Mapping::map(fd->get(), 0, 8192, Access::read_write, "test");
  ASSERT_TRUE(whole);
  std::strcpy(reinterpret_cast<char*>(whole->data()) + 5000, "here");
  auto part = Mapping::map(fd->get(), 5000, 100, Access::read_only, "test");
  ASSERT_TRUE(part);
  EXPECT_EQ(part->size(), 100u);
  EXPECT_STREQ(reinterpret_cast<const char*>(part->data()), "here");
}

TEST(ReadOnlyShare, CanBeWrittenThroughItsOwnMappingOnly) {
  auto share = make_read_only_share("test", 4096);
  ASSERT_TRUE(share);
  share->mapping.data()[0] = std::byte{7};
  EXPECT_FALSE(Mapping::map(share->fd.get(), 0, 4096, Access::read_write, "test"));
  auto reader = Mapping::map(share->fd.get(), 0, 4096, Access::read_only, "test");
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->data()[0], std::byte{7});
}

}  // namespace
}  // namespace millrace
