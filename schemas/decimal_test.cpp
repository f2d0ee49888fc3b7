// Proves that decimals go through text without losing a digit, and that what does not fit is refused.
#include "schemas/decimal.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace millrace::schemas {
namespace {

std::string shown(std::int64_t mantissa, std::uint8_t scale) {
  std::string out;
  append_decimal({mantissa, scale}, out);
  return out;
}

TEST(Decimal, shows_exactly_as_many_digits_after_the_point_as_its_scale) {
  EXPECT_EQ(shown(1'808'080, 3), "1808.080");
  EXPECT_EQ(shown(0, 0), "0");
  EXPECT_EQ(shown(0, 2), "0.00");
  EXPECT_EQ(shown(-5, 1), "-0.5");
  EXPECT_EQ(shown(5, 3), "0.005");
  EXPECT_EQ(shown(123, 3), "0.123");
  EXPECT_EQ(shown(std::numeric_limits<std::int64_t>::min(), 18), "-9.223372036854775808");
}

TEST(Decimal, every_value_comes_back_as_it_was) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto mantissa = static_cast<std::int64_t>(random() >> (random() % 64)) * (random() % 2 == 0 ? 1 : -1);
    const auto scale = static_cast<std::uint8_t>(random() % 256);
    const auto back = parse_decimal(shown(mantissa, scale));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->mantissa, mantissa);
    EXPECT_EQ(back->scale, scale);
  }
}

TEST(Decimal, refuses_what_is_not_a_plain_decimal_or_does_not_fit) {
  for (const std::string_view bad : {"", "-", ".", "1.", ".5", "+1", "1e3", " 1", "1 ", "1.2.3", "--1", "0x1", "1,0",
                                     "9223372036854775808", "-9223372036854775809"})
    EXPECT_FALSE(parse_decimal(bad)) << bad;
  EXPECT_FALSE(parse_decimal("0." + std::string(256, '0')));
}

TEST(Decimal, rescaling_adds_zeros_and_never_drops_digits) {
  EXPECT_EQ(rescale({15, 1}, 3), 1500);
  EXPECT_EQ(rescale({-15, 1}, 1), -15);
  EXPECT_EQ(rescale({0, 0}, 255), 0);
  EXPECT_EQ(rescale({10, 1}, 0), std::nullopt);
  EXPECT_EQ(rescale({std::numeric_limits<std::int64_t>::max(), 0}, 1), std::nullopt);
}

}  // namespace
}  // namespace millrace::schemas
