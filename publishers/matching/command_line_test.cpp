// Proves that the command line means what it says, and that mistakes are named.
#include "publishers/matching/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::matching {
namespace {

std::variant<CommandLine, int> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "millrace-matching");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLine, WithoutOptionsTheDemosMarketIsTraded) {
  const auto line = std::get<CommandLine>(parse({}));
  EXPECT_EQ(line.input, InputKind::both);
  EXPECT_EQ(line.instruments.size(), 4u);
  EXPECT_EQ(line.level, Level::recorded);
  EXPECT_TRUE(std::holds_alternative<StartLatest>(line.start));
  EXPECT_FALSE(line.cpu);
}

TEST(CommandLine, OptionsAreTaken) {
  const auto line = std::get<CommandLine>(
      parse({"--input", "orders", "--instrument", "A:2:0:0.05:10:12.50", "--instrument", "B:0:3:1:0.001:0", "--from",
             "earliest", "--level", "synced", "--cpu", "1", "--idle", "spin"}));
  EXPECT_EQ(line.input, InputKind::orders);
  ASSERT_EQ(line.instruments.size(), 2u);
  EXPECT_EQ(line.instruments[0].tick, Price{5});
  EXPECT_EQ(line.instruments[0].lot, Quantity{10});
  EXPECT_EQ(line.instruments[0].reference, Price{12'50});
  EXPECT_EQ(line.instruments[1].lot, Quantity{1});
  EXPECT_EQ(line.level, Level::synced);
  EXPECT_TRUE(std::holds_alternative<StartEarliest>(line.start));
  EXPECT_EQ(line.cpu, 1u);
}

TEST(CommandLine, WhoKeepsBooksTakesSyncedOrdersFromTheFirst) {
  const auto line = std::get<CommandLine>(
      parse({"--input", "orders", "--snapshots", "/books", "--snapshot-orders", "7", "--snapshot-seconds", "0.5"}));
  EXPECT_EQ(line.snapshots, "/books");
  EXPECT_EQ(line.level, Level::synced);
  EXPECT_EQ(line.snapshot_policy.every_orders, 7u);
  EXPECT_EQ(line.snapshot_policy.every, std::chrono::milliseconds(500));
  EXPECT_EQ(std::get<int>(parse({"--snapshots", "/books", "--level", "recorded"})), 2);
  EXPECT_EQ(std::get<int>(parse({"--snapshots", "/books", "--from", "latest"})), 2);
  EXPECT_EQ(std::get<int>(parse({"--snapshots", "/books", "--input", "generator"})), 2);
  EXPECT_EQ(std::get<int>(parse({"--snapshot-orders", "7"})), 2);
}

TEST(CommandLine, MistakesEndWithTwoAndHelpWithZero) {
  EXPECT_EQ(std::get<int>(parse({"--input", "nothing"})), 2);
  EXPECT_EQ(std::get<int>(parse({"--rate", "0"})), 2);
  EXPECT_EQ(std::get<int>(parse({"--instrument", "A:2:0:0.05:10:0"})), 2) << "the generator needs a reference price";
  EXPECT_EQ(std::get<int>(parse({"--instrument", "A:2:0:1:1:5", "--instrument", "A:2:0:1:1:5"})), 2);
  EXPECT_EQ(std::get<int>(parse({"--help"})), 0);
}

TEST(ParseInstrument, NamesThePartThatIsWrong) {
  const auto why = [](const char* text) { return parse_instrument(text).error().message; };
  using ::testing::HasSubstr;
  EXPECT_THAT(why("A:2:0:1:1"), HasSubstr("six parts"));
  EXPECT_THAT(why("A:2:0:1:1:5:6"), HasSubstr("six parts"));
  EXPECT_THAT(why("A:x:0:1:1:5"), HasSubstr("scale"));
  EXPECT_THAT(why("A:2:0:0.001:1:5"), HasSubstr("tick"));
  EXPECT_THAT(why("A:2:0:0.01:0.5:5"), HasSubstr("lot"));
  EXPECT_THAT(why("A:2:0:0.05:1:5.01"), HasSubstr("reference"));
}

}  // namespace
}  // namespace millrace::matching
