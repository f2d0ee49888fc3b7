// Proves that times go out as RFC 3339 and come back the same, and that nothing else is taken for a time.
#include "bus/base/rfc3339.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::string text(std::int64_t ns) {
  std::string out;
  append_rfc3339({ns}, out);
  return out;
}

TEST(Rfc3339Test, TimesAreWrittenInUtcWithNineDigits) {
  EXPECT_EQ(text(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(text(1'709'210'096'123'456'789), "2024-02-29T12:34:56.123456789Z");
}

TEST(Rfc3339Test, WhatIsWrittenIsReadBack) {
  for (const std::int64_t ns : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1'709'210'096'123'456'789},
                                std::int64_t{9'000'000'000'000'000'000}}) {
    EXPECT_EQ(parse_time(text(ns)), WallTime{ns});
  }
}

TEST(Rfc3339Test, ZonesFractionsAndNanosecondsAreUnderstood) {
  EXPECT_EQ(parse_time("1970-01-01T01:00:00+01:00"), WallTime{0});
  EXPECT_EQ(parse_time("1969-12-31T23:00:00-01:00"), std::nullopt);
  EXPECT_EQ(parse_time("1970-01-01T00:00:00.5z"), WallTime{500'000'000});
  EXPECT_EQ(parse_time("1700000000000000000"), WallTime{1'700'000'000'000'000'000});
}

TEST(Rfc3339Test, NothingElseIsATime) {
  for (const std::string_view wrong :
       {"", "today", "-5", "1970-01-01", "1970-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "1970-01-01T24:00:00Z",
        "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00.0123456789Z", "1970-01-01T00:00:00Zx",
        "99999999999999999999999"}) {
    EXPECT_EQ(parse_time(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace millrace
