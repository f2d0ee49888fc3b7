// Proves that places to begin and to end mean what they say, and that what is none is refused with a sentence.
#include "tools/millrace/selection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;

TEST(ParseStart, KnowsTheTwoWords) {
  EXPECT_TRUE(std::holds_alternative<StartEarliest>(*parse_start("earliest")));
  EXPECT_TRUE(std::holds_alternative<StartLatest>(*parse_start("latest")));
}

TEST(ParseStart, TakesSmallNumbersAsOffsetsAndLargeOnesAsNanoseconds) {
  EXPECT_EQ(std::get<Offset>(*parse_start("0")), Offset(0));
  EXPECT_EQ(std::get<Offset>(*parse_start("99999999999999999")), Offset(99'999'999'999'999'999));
  EXPECT_EQ(std::get<WallTime>(*parse_start("100000000000000000")).ns, 100'000'000'000'000'000);
}

TEST(ParseStart, TakesTimesOfAnyZone) {
  EXPECT_EQ(std::get<WallTime>(*parse_start("2026-03-01T09:30:00.5Z")).ns, 1'772'357'400'500'000'000);
  EXPECT_EQ(std::get<WallTime>(*parse_start("2026-03-01T10:30:00+01:00")),
            std::get<WallTime>(*parse_start("2026-03-01T09:30:00Z")));
}

TEST(ParseStart, RefusesEverythingElse) {
  for (const char* text : {"", "-1", "12x", "now", "2026-03-01", "2026-13-01T00:00:00Z", "99999999999999999999"}) {
    const auto start = parse_start(text);
    ASSERT_FALSE(start) << text;
    EXPECT_EQ(start.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(start.error().message, HasSubstr("earliest, latest, an offset"));
  }
}

TEST(ParseEnd, IsTheEndAnOffsetOrATime) {
  EXPECT_TRUE(std::holds_alternative<historical::ToEnd>(*parse_end("end")));
  EXPECT_EQ(std::get<Offset>(*parse_end("12")), Offset(12));
  EXPECT_EQ(std::get<WallTime>(*parse_end("2026-03-01T09:30:00Z")).ns, 1'772'357'400'000'000'000);
  for (const char* text : {"", "latest", "earliest", "-1"}) {
    const auto end = parse_end(text);
    ASSERT_FALSE(end) << text;
    EXPECT_THAT(end.error().message, HasSubstr("no place to end"));
  }
}

TEST(ParseLevel, KnowsTheThreeLevels) {
  EXPECT_EQ(*parse_level("live"), Level::live);
  EXPECT_EQ(*parse_level("synced"), Level::synced);
  EXPECT_FALSE(parse_level("durable"));
}

}  // namespace
}  // namespace millrace::cli
