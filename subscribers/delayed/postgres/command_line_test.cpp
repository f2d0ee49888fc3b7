// Proves that a command line is taken as it is meant, and that a wrong one is refused.
#include "subscribers/delayed/postgres/command_line.hpp"

#include <gtest/gtest.h>

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;

std::variant<CommandLine, int> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "millrace-postgres-sink");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

TEST(PostgresCommandLine, TakesTopicsWithCommasAndTimesWithUnits) {
  const auto parsed = parse({"--database", "postgresql://db/market", "--topics", "trade_events,market_l2", "--name",
                             "risk", "--batch-age", "250ms", "--lease", "3s", "--from", "latest"});
  const auto* const line = std::get_if<CommandLine>(&parsed);
  ASSERT_NE(line, nullptr);
  EXPECT_EQ(line->sink.database, "postgresql://db/market");
  EXPECT_EQ(line->sink.topics, (std::vector<std::string>{"trade_events", "market_l2"}));
  EXPECT_EQ(line->sink.name, "risk");
  EXPECT_EQ(line->sink.limits.age, 250ms);
  EXPECT_EQ(line->sink.lease, 3s);
  EXPECT_TRUE(std::holds_alternative<StartLatest>(line->sink.start));
  EXPECT_FALSE(line->migrate_only);
}

TEST(PostgresCommandLine, HasDefaults) {
  const auto parsed = parse({"--database", "dbname=market", "--topics", "trade_events"});
  const auto* const line = std::get_if<CommandLine>(&parsed);
  ASSERT_NE(line, nullptr);
  EXPECT_EQ(line->sink.name, "postgres");
  EXPECT_EQ(line->sink.limits.age, 100ms);
  EXPECT_EQ(line->sink.lease, 10s);
  EXPECT_TRUE(std::holds_alternative<StartEarliest>(line->sink.start));
}

TEST(PostgresCommandLine, RefusesWhatIsWrong) {
  const std::vector<std::vector<const char*>> wrong{
      {"--topics", "trade_events"},
      {"--database", "dbname=market"},
      {"--database", "dbname=market", "--topics", "trade_events,trade_events"},
      {"--database", "dbname=market", "--topics", "trade_events", "--name", "Not A Name"},
      {"--database", "dbname=market", "--topics", "trade_events", "--batch-age", "100"},
      {"--database", "dbname=market", "--topics", "trade_events", "--batch-age", "-1ms"},
      {"--database", "dbname=market", "--topics", "trade_events", "--batch-events", "0"},
      {"--database", "dbname=market", "--topics", "trade_events", "--from", "yesterday"}};
  for (const auto& words : wrong) {
    const auto parsed = parse(words);
    ASSERT_TRUE(std::holds_alternative<int>(parsed)) << words.back();
    EXPECT_EQ(std::get<int>(parsed), 2) << words.back();
  }
  EXPECT_TRUE(std::holds_alternative<CommandLine>(parse({"--database", "dbname=market", "--migrate-only"})));
}

}  // namespace
}  // namespace millrace::delayed::postgres
