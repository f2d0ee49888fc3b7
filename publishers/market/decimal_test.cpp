// Proves that decimal text becomes whole units exactly or not at all, and comes back.
#include "publishers/market/decimal.hpp"

#include <gtest/gtest.h>

namespace millrace::market {
namespace {

TEST(Decimal, TextBecomesUnitsAtTheScale) {
  EXPECT_EQ(parse_decimal("61837.63000000", 8).value(), 6'183'763'000'000);
  EXPECT_EQ(parse_decimal("61837.63", 2).value(), 6'183'763);
  EXPECT_EQ(parse_decimal("7", 3).value(), 7'000);
  EXPECT_EQ(parse_decimal("0.000022900", 9).value(), 22'900);
  EXPECT_EQ(parse_decimal("-12.5", 3).value(), -12'500);
  EXPECT_EQ(parse_decimal("-0.001", 3).value(), -1);
}

TEST(Decimal, ZerosBeyondTheScaleAreHarmlessAndDigitsAreRefused) {
  EXPECT_EQ(parse_decimal("1.500", 1).value(), 15);
  const auto lost = parse_decimal("1.501", 1);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().message, "'1.501' has more than 1 decimals");
}

TEST(Decimal, AllOf64BitsCanBeReachedAndNothingBeyond) {
  EXPECT_EQ(parse_decimal("9223372036854775807", 0).value(), INT64_MAX);
  EXPECT_EQ(parse_decimal("-9223372036854775808", 0).value(), INT64_MIN);
  EXPECT_EQ(parse_decimal("-9.223372036854775808", 18).value(), INT64_MIN);
  EXPECT_FALSE(parse_decimal("9223372036854775808", 0));
  EXPECT_FALSE(parse_decimal("-9223372036854775809", 0));
  EXPECT_FALSE(parse_decimal("92233720368547758.08", 3));
  EXPECT_FALSE(parse_decimal("99999999999999999999999999", 0));
}

TEST(Decimal, WhatIsNoDecimalNumberIsRefused) {
  for (const auto* text : {"", "-", ".", ".5", "5.", "1e5", "+1", " 1", "1 ", "1.2.3", "--1", "0x1", "nan"}) {
    EXPECT_FALSE(parse_decimal(text, 4)) << "'" << text << "'";
  }
}

TEST(Decimal, WholeNumbersAreReadStrictly) {
  EXPECT_EQ(parse_integer("-42").value(), -42);
  for (const auto* text : {"", "4.0", "42x", " 42", "9223372036854775808"}) {
    EXPECT_FALSE(parse_integer(text)) << "'" << text << "'";
  }
}

TEST(Decimal, UnitsBecomeTextAgain) {
  EXPECT_EQ(format_decimal(1'808'080, 3), "1808.080");
  EXPECT_EQ(format_decimal(-5, 3), "-0.005");
  EXPECT_EQ(format_decimal(0, 2), "0.00");
  EXPECT_EQ(format_decimal(42, 0), "42");
  EXPECT_EQ(format_decimal(INT64_MIN, 0), "-9223372036854775808");
  EXPECT_EQ(format_decimal_short(3'031'610'000'000, 8), "30316.1");
  EXPECT_EQ(format_decimal_short(3'031'600'000'000, 8), "30316");
  EXPECT_EQ(format_decimal_short(100, 0), "100");
}

TEST(Decimal, DecimalsAreCountedBehindThePoint) {
  EXPECT_EQ(decimals_of("0.000022900"), 9U);
  EXPECT_EQ(decimals_of("17"), 0U);
}

}  // namespace
}  // namespace millrace::market
