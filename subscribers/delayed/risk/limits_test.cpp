// Proves that limits are read exactly, accounts on top of the defaults, and that each mistake is told with line and
// key.
#include "subscribers/delayed/risk/limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::delayed::risk {
namespace {

using ::testing::HasSubstr;

bool is(const std::optional<Amount>& amount, std::int64_t units, unsigned scale) {
  return amount && amount->units == units && amount->scale == scale;
}
std::string error_of(std::string_view text) {
  const auto limits = parse_limits(text, "risk.toml");
  EXPECT_FALSE(limits) << text;
  return limits ? "" : limits.error().message;
}

TEST(Limits, AnAccountHasTheDefaultsButForWhatItsOwnTableSays) {
  const auto limits = parse_limits(R"(
max_lag = 5000
[accounts.alice]
loss = "2000.50"
positions = { "600519" = 50, MILL = "1.5" }
[defaults]
position = 1000
gross_exposure = "1000000.00"
margin_use = "0.8"
)",
                                   "risk.toml");
  ASSERT_TRUE(limits) << limits.error().message;
  EXPECT_EQ(limits->clear_percent, 90);
  EXPECT_EQ(limits->max_lag, 5000u);
  const AccountLimits& alice = limits->of("alice");
  EXPECT_TRUE(is(alice.loss, 200'050, 2));
  EXPECT_TRUE(is(alice.gross_exposure, 100'000'000, 2)) << "though the defaults stand behind it";
  EXPECT_TRUE(is(alice.margin_use, 8, 1));
  EXPECT_TRUE(is(*alice.position_of("600519"), 50, 0));
  EXPECT_TRUE(is(*alice.position_of("MILL"), 15, 1));
  EXPECT_TRUE(is(*alice.position_of("RACE"), 1000, 0));
  EXPECT_FALSE(limits->of("bob").loss);
  EXPECT_TRUE(is(limits->of("bob").position, 1000, 0));
  EXPECT_EQ(parse_limits("", "risk.toml")->of("bob").position_of("MILL"), nullptr);
}

TEST(Limits, EverythingThatIsWrongIsToldAtOnceWithLineAndKey) {
  const std::string error = error_of(R"(clear_percent = 101
[defaults]
loss = 0.5
positon = 3
margin_use = "0.1234567"
[accounts.alice]
net_exposure = "-1"
positions = 7
[accounts.a-name-that-is-too-long]
)");
  EXPECT_THAT(error, HasSubstr("risk.toml:1:17: clear_percent: wants a whole number from 0 to 100"));
  EXPECT_THAT(error, HasSubstr("risk.toml:3:8: defaults.loss: wants a number that is not below zero: whole, or a"));
  EXPECT_THAT(error, HasSubstr("risk.toml:4:1: defaults.positon: unknown key; there are: gross_exposure, loss, "));
  EXPECT_THAT(error, HasSubstr("risk.toml:5:14: defaults.margin_use: "));
  EXPECT_THAT(error, HasSubstr("with at most 6 digits after the point"));
  EXPECT_THAT(error, HasSubstr("risk.toml:7:16: accounts.alice.net_exposure: "));
  EXPECT_THAT(error, HasSubstr("risk.toml:8:13: accounts.alice.positions: wants a table"));
  EXPECT_THAT(error, HasSubstr("accounts.a-name-that-is-too-long: a name has 1 to 16 bytes"));
  EXPECT_THAT(error_of("a = [1,\n"), HasSubstr("risk.toml:"));
  EXPECT_THAT(error_of("accounts = 3"), HasSubstr("risk.toml:1:12: accounts: wants a table"));
  EXPECT_THAT(load_limits("/no/such/file").error().message, HasSubstr("/no/such/file"));
  const auto folder = load_limits(::testing::TempDir());
  ASSERT_FALSE(folder) << "a file that cannot be read is not one without limits";
  EXPECT_THAT(folder.error().message, HasSubstr("cannot read the limits " + ::testing::TempDir()));
}

}  // namespace
}  // namespace millrace::delayed::risk
