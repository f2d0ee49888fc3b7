// Proves the arithmetic of positions: averages, partial closes, flips through zero, both signs, more digits; against an
// exact reference in fractions for random trades; and that what does not fit is said and changes nothing.
#include "subscribers/delayed/risk/position.hpp"

#include <gtest/gtest.h>

#include <boost/multiprecision/cpp_int.hpp>
#include <limits>
#include <random>

namespace millrace::delayed::risk {
namespace {

using Rational = boost::multiprecision::cpp_rational;
using Integer = boost::multiprecision::cpp_int;

std::int64_t small(Wide value) {
  return static_cast<std::int64_t>(value);
}
Integer integer(Wide value) {
  return (Integer(static_cast<std::int64_t>(value >> 64)) << 64) + static_cast<std::uint64_t>(value);
}

TEST(Position, ALongThatIsClosedInPartsRealisesAgainstItsAverage) {
  Position position;
  ASSERT_TRUE(position.trade(100, 10));
  ASSERT_TRUE(position.trade(50, 16));
  EXPECT_EQ(position.quantity, 150);
  EXPECT_EQ(small(position.cost), 1800) << "an average of 12";
  ASSERT_TRUE(position.trade(-60, 15));
  EXPECT_EQ(small(position.realised), 60 * 3);
  EXPECT_EQ(small(position.cost), 90 * 12);
  ASSERT_TRUE(position.trade(-90, 11));
  EXPECT_EQ(small(position.realised), 60 * 3 - 90);
  EXPECT_EQ(position.quantity, 0);
  EXPECT_EQ(small(position.cost), 0);
}

TEST(Position, AShortEarnsWhenThePriceFalls) {
  Position position;
  ASSERT_TRUE(position.trade(-10, 100));
  EXPECT_EQ(small(position.cost), -1000);
  ASSERT_TRUE(position.trade(4, 90));
  EXPECT_EQ(small(position.realised), 40);
  EXPECT_EQ(small(position.cost), -600);
  ASSERT_TRUE(position.trade(6, 110));
  EXPECT_EQ(small(position.realised), 40 - 60);
  EXPECT_EQ(position, (Position{0, 0, -20}));
}

TEST(Position, AFlipThroughZeroClosesAllAndOpensTheRestAtItsOwnPrice) {
  Position position;
  ASSERT_TRUE(position.trade(10, 100));
  ASSERT_TRUE(position.trade(-25, 120));
  EXPECT_EQ(small(position.realised), 200);
  EXPECT_EQ(position.quantity, -15);
  EXPECT_EQ(small(position.cost), -15 * 120);
  ASSERT_TRUE(position.trade(16, 110));
  EXPECT_EQ(small(position.realised), 200 + 150);
  EXPECT_EQ(position.quantity, 1);
  EXPECT_EQ(small(position.cost), 110);
}

TEST(Position, WhatIsCutStaysInTheCostAndLeavesWithTheLastOfIt) {
  Position position;
  ASSERT_TRUE(position.trade(3, 10));
  ASSERT_TRUE(position.trade(4, 11));  // 74 for 7
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(position.trade(-1, 20));
  EXPECT_EQ(position, (Position{0, 0, 7 * 20 - 74}));
}

TEST(Position, MoreDigitsChangeNoValue) {
  Position position;
  ASSERT_TRUE(position.trade(7, 123));
  ASSERT_TRUE(position.trade(-2, 130));
  const Position before = position;
  ASSERT_TRUE(position.rescale(2, 3));
  EXPECT_EQ(position.quantity, before.quantity * 1000);
  EXPECT_EQ(small(position.cost), small(before.cost) * 100'000);
  EXPECT_EQ(small(position.realised), small(before.realised) * 100'000);
}

TEST(Position, WhatDoesNotFitIsSaidAndChangesNothing) {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  Position position;
  ASSERT_TRUE(position.trade(largest, largest));
  const Position before = position;
  EXPECT_FALSE(position.trade(1, 1)) << "the quantity";
  EXPECT_EQ(position, before);
  EXPECT_FALSE(position.rescale(0, 1));
  EXPECT_FALSE(position.rescale(18, 0)) << "the cost";
  EXPECT_EQ(position, before);
  EXPECT_FALSE(position.trade(std::numeric_limits<std::int64_t>::min(), 1));
  EXPECT_FALSE(position.trade(-1, std::numeric_limits<std::int64_t>::min()));
  ASSERT_TRUE(position.trade(-largest, -largest)) << "the largest loss there is";
  EXPECT_EQ(integer(position.realised), -2 * Integer(largest) * largest);
  ASSERT_TRUE(position.trade(largest, largest));
  EXPECT_FALSE(position.trade(-largest, -largest)) << "and no second time";
  EXPECT_EQ(position.quantity, largest);
}

// The reference keeps the average as a fraction: nothing is ever cut in it.
TEST(Position, RandomTradesAgreeWithExactFractions) {
  std::mt19937_64 random(7);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int run = 0; run < 200; ++run) {
    const std::int64_t most = std::int64_t{1} << pick(2, 40);
    Position position;
    Integer quantity = 0, cash = 0;
    Rational average = 0, realised = 0;
    for (int cuts = 0; cuts < 100; ++cuts) {  // each trade cuts less than one unit
      std::int64_t traded = pick(1, most);
      if (pick(0, 1) == 0) traded = -traded;
      const std::int64_t price = pick(-most / 10, most);
      ASSERT_TRUE(position.trade(traded, price));
      cash -= Integer(traded) * price;
      const Integer after = quantity + traded;
      if (quantity == 0 || (quantity > 0) == (traded > 0)) {
        average = (average * quantity + Rational(Integer(traded) * price)) / after;
      } else {
        const Integer closed = abs(quantity) < std::abs(traded) ? abs(quantity) : Integer(std::abs(traded));
        realised += (Rational(price) - average) * closed * (quantity > 0 ? 1 : -1);
        if (after == 0) average = 0;
        if (after != 0 && (after > 0) != (quantity > 0)) average = price;
      }
      quantity = after;
      ASSERT_EQ(integer(position.quantity), quantity);
      ASSERT_EQ(integer(position.realised) - integer(position.cost), cash) << "nothing is lost";
      ASSERT_LE(abs(Rational(integer(position.realised)) - realised), cuts + 1);
      ASSERT_LE(abs(Rational(integer(position.cost)) - average * quantity), cuts + 1);
    }
  }
}

}  // namespace
}  // namespace millrace::delayed::risk
