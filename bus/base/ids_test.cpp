// Proves that ids are distinct types, that keys are stable (they are stored), and that UUIDs go to text and back.
#include "bus/base/ids.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace millrace {
namespace {

static_assert(!std::is_convertible_v<Offset, Sequence> && !std::is_convertible_v<std::uint64_t, Offset>);
static_assert(!std::is_constructible_v<Offset, Sequence>);

TEST(Ids, CountForwardAndDifference) {
  EXPECT_EQ(Offset(5).next(), Offset(6));
  EXPECT_EQ(Offset(9) - Offset(4), 5u);
  EXPECT_LT(Sequence(1), Sequence(2));
}

// Keys are stored in frames: if this fails, filters over old logs break.
TEST(Ids, KeyOfANameNeverChanges) {
  EXPECT_EQ(key_of("BTCUSDT").value(), 0xa4dc938d7bb2fc85ULL);
}

TEST(Ids, UuidGoesToTextAndBack) {
  const auto bytes = random_uuid_bytes();
  const auto text = to_hex(bytes);
  ASSERT_EQ(text.size(), 32u);
  EXPECT_EQ(uuid_bytes_from_hex(text), bytes);
  EXPECT_EQ(uuid_bytes_from_hex(text.substr(1)), std::nullopt);
  EXPECT_EQ(uuid_bytes_from_hex("zz" + text.substr(2)), std::nullopt);
}

}  // namespace
}  // namespace millrace
