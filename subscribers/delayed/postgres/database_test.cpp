// Proves that connections end in time and say why, that migrations are applied once and never change, and that one
// process leads at a time, on a real PostgreSQL.
#include "subscribers/delayed/postgres/testing/database.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "bus/base/clock.hpp"
#include "subscribers/delayed/postgres/leadership.hpp"
#include "subscribers/delayed/postgres/migrations.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;
using testing::connect;
using ::testing::HasSubstr;
using testing::query;
using testing::text_of;

class Database : public testing::WithDatabase {};
using DatabaseConnection = Database;
using Migrations = Database;
using Leadership = Database;

TEST_F(DatabaseConnection, SaysWhatIsWrongWithADatabaseThatCannotBeReached) {
  const auto nowhere = Connection::open({.database = "host=/nowhere dbname=market"});
  ASSERT_FALSE(nowhere);
  EXPECT_TRUE(nowhere.error().lost);
  EXPECT_THAT(nowhere.error().message, HasSubstr("/nowhere"));
  EXPECT_TRUE(nowhere.error().may_pass()) << nowhere.error().sqlstate;
  const auto malformed = Connection::open({.database = "postgresql://[broken"});
  ASSERT_FALSE(malformed);
  EXPECT_THAT(malformed.error().message, HasSubstr("URI"));
  EXPECT_FALSE(malformed.error().may_pass());
  const auto unheard_of = Connection::open({.database = "host=/nowhere sslmode=perhaps"});
  ASSERT_FALSE(unheard_of);
  EXPECT_THAT(unheard_of.error().message, HasSubstr("perhaps"));
  EXPECT_FALSE(unheard_of.error().may_pass());
  const auto unknown = Connection::open({.database = cluster().uri("no_such_database")});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, ::testing::EndsWith("FATAL:  database \"no_such_database\" does not exist"));
  EXPECT_EQ(unknown.error().sqlstate, "3D000");
  EXPECT_FALSE(unknown.error().may_pass());
  // The host that was asked last counts.
  const auto second =
      Connection::open({.database = "host=/nowhere," + cluster().folder() + " dbname=no_such_database"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().sqlstate, second.error().message.find("role") == std::string::npos ? "3D000" : "28000");
}

TEST_F(DatabaseConnection, SaysThatItsPasswordIsWrongOrMissing) {
  Connection admin = connect(uri());
  query(admin, "CREATE ROLE " + name() + "_guarded LOGIN PASSWORD 'right'");
  const std::string file = cluster().folder() + "/data/pg_hba.conf";
  std::stringstream rules;
  rules << "local all " << name() << "_guarded scram-sha-256\n" << std::ifstream(file).rdbuf();
  std::ofstream(file) << rules.str();
  query(admin, "SELECT pg_reload_conf()");
  const std::string address = cluster().uri(name(), name() + "_guarded");
  DatabaseError error;
  const auto refused = [&](const std::string& more) {
    auto opened = Connection::open({.database = address + more});
    if (!opened) error = opened.error();
    return !opened;
  };
  ASSERT_TRUE(millrace::testing::eventually([&] { return refused("&password=wrong"); }));
  EXPECT_EQ(error.sqlstate, "28P01") << error.message;
  EXPECT_FALSE(error.may_pass());
  ASSERT_TRUE(refused("")) << "libpq says it, not the server";
  EXPECT_EQ(error.sqlstate, "28P01") << error.message;
  EXPECT_FALSE(refused("&password=right"));
}

TEST_F(DatabaseConnection, WaitsNoLongerThanItsTimeoutAndShowsMeanwhileThatItLives) {
  int shown = 0;
  auto slow = Connection::open({.database = uri(), .timeout = 300ms, .while_waiting = [&] { ++shown; }});
  ASSERT_TRUE(slow);
  const auto rows = slow->run("SELECT pg_sleep(600)");
  ASSERT_FALSE(rows);
  EXPECT_TRUE(rows.error().lost);
  EXPECT_THAT(rows.error().message, HasSubstr("does not answer in time"));
  EXPECT_GT(shown, 0);
}

TEST_F(DatabaseConnection, AnErrorLeavesItUsable) {
  Connection connection = connect(uri());
  query(connection, "CREATE TABLE numbers (n int CHECK (n > 0))");
  const auto refused = connection.run("INSERT INTO numbers VALUES (1); INSERT INTO numbers VALUES (0)");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "23514");
  EXPECT_TRUE(refused.error().of_a_row());
  EXPECT_FALSE(refused.error().lost);
  const std::string not_a_copy = "neither";
  const auto bytes = std::as_bytes(std::span(not_a_copy));
  EXPECT_FALSE(connection.copy("COPY numbers FROM STDIN (FORMAT binary)", bytes));
  EXPECT_FALSE(connection.copy("COPY no_such_table FROM STDIN (FORMAT binary)", bytes));
  EXPECT_EQ(text_of(connection, "SELECT count(*) FROM numbers"), "0");
}

TEST_F(DatabaseConnection, SeesThatItsServerEndedIt) {
  Connection connection = connect(uri());
  Connection other = connect(uri());
  query(other, "SELECT pg_terminate_backend(" + text_of(connection, "SELECT pg_backend_pid()") + ", 10000)");
  const auto rows = connection.run("SELECT 1");
  ASSERT_FALSE(rows);
  EXPECT_TRUE(rows.error().lost);
}

TEST_F(Migrations, AreAppliedOnceAndInOrder) {
  Connection connection = connect(uri());
  const auto first = migrate(connection, embedded_migrations());
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(static_cast<std::size_t>(*first), embedded_migrations().size());
  EXPECT_EQ(text_of(connection, "SELECT name FROM millrace_migrations ORDER BY applied"),
            "001_sink.sql\n002_events.sql");
  const auto second = migrate(connection, embedded_migrations());
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(*second, 0);
}

TEST_F(Migrations, ThatChangedOrAreUnknownAreErrors) {
  Connection connection = connect(uri());
  const std::vector<Migration> original{{"1.sql", "CREATE TABLE one (n int)"}, {"2.sql", "CREATE TABLE two (n int)"}};
  ASSERT_TRUE(migrate(connection, original));
  const std::vector<Migration> changed{{"1.sql", "CREATE TABLE one (n bigint)"}, original[1]};
  const auto refused = migrate(connection, changed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("1.sql has changed"));
  const auto older = migrate(connection, std::span(original).first(1));
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().code, ErrorCode::unsupported);
}

TEST_F(Migrations, ThatFailLeaveNothingBehindAndAreTriedAgain) {
  Connection connection = connect(uri());
  const std::vector<Migration> broken{{"1.sql", "CREATE TABLE one (n int)"},
                                      {"2.sql", "CREATE TABLE two (n int); SELECT 1 / 0"}};
  const auto refused = migrate(connection, broken);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("2.sql: division by zero"));
  EXPECT_EQ(text_of(connection, "SELECT to_regclass('one') IS NULL, to_regclass('two') IS NULL"), "f|t");
  const std::vector<Migration> mended{broken[0], {"2.sql", "CREATE TABLE two (n int)"}};
  EXPECT_EQ(migrate(connection, mended).value(), 1);
}

TEST_F(Migrations, ThatPsqlRanAreTakenAsTheyAre) {
  for (const Migration& migration : embedded_migrations()) {
    millrace::testing::Process psql({testing::server_programs() + "/psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1",
                                     "-d", uri(), "-c", std::string(migration.sql)});
    ASSERT_EQ(psql.wait(), 0) << psql.errors();
  }
  Connection connection = connect(uri());
  query(connection, "INSERT INTO sink_leader VALUES ('kept', 7, 'me', now(), now())");
  const auto done = migrate(connection, embedded_migrations());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(text_of(connection, "SELECT token FROM sink_leader"), "7");
}

TEST_F(Migrations, ByManyProcessesAtOnceAreAppliedOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> applied = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Connection connection = connect(uri());
      const auto done = migrate(connection, embedded_migrations());
      EXPECT_TRUE(done) << done.error().message;
      applied += done.value_or(0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Connection connection = connect(uri());
  EXPECT_EQ(text_of(connection, "SELECT count(*) FROM millrace_migrations"), "2");
}

TEST_F(Migrations, NeedARightOnlyWhereSomethingIsMissing) {
  Connection owner = connect(uri());
  query(owner, "CREATE ROLE " + name() + "_writer LOGIN");
  Connection writer = connect(cluster().uri(name(), name() + "_writer"));
  const auto refused = migrate(writer, embedded_migrations());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_permitted);
  EXPECT_THAT(refused.error().message, HasSubstr("--migrate-only"));
  ASSERT_TRUE(migrate(owner, embedded_migrations()));
  query(owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + name() + "_writer");
  const auto nothing = migrate(writer, embedded_migrations());
  ASSERT_TRUE(nothing) << nothing.error().message;
  EXPECT_EQ(*nothing, 0);
}

TEST_F(Leadership, IsOfOneUntilItsLeaseRunsOutThenOfTheNextToken) {
  Connection first = tables(), second = connect(uri());
  EXPECT_EQ(elect(first, "sink", "first", 300s).value(), 1);
  EXPECT_EQ(elect(second, "sink", "second", 300s).value(), std::nullopt);
  EXPECT_EQ(elect(second, "another", "second", 300s).value(), 1) << "each name has its own";
  EXPECT_TRUE(renew(first, {"sink", 1, 300s}).value());
  query(second, "UPDATE sink_leader SET expires = clock_timestamp() - interval '1 s' WHERE name = 'sink'");
  EXPECT_TRUE(renew(first, {"sink", 1, 300s}).value()) << "nobody has taken it meanwhile";
  query(second, "UPDATE sink_leader SET expires = clock_timestamp() - interval '1 s' WHERE name = 'sink'");
  EXPECT_EQ(elect(second, "sink", "second", 300s).value(), 2);
  Connection again = connect(uri());
  EXPECT_FALSE(renew(again, {"sink", 1, 300s}).value());
  EXPECT_EQ(elect(again, "sink", "first", 300s).value(), std::nullopt);
}

TEST_F(Leadership, ThatIsGivenUpIsFreeAtOnce) {
  Connection first = tables(), second = connect(uri());
  ASSERT_EQ(elect(first, "sink", "first", 300s).value(), 1);
  ASSERT_TRUE(release(first, {"sink", 1, 300s}));
  EXPECT_EQ(elect(second, "sink", "second", 300s).value(), 2);
  ASSERT_TRUE(release(second, {"sink", 1, 300s})) << "what one has no more cannot be given up";
  Connection third = connect(uri());
  EXPECT_EQ(elect(third, "sink", "third", 300s).value(), std::nullopt);
}

TEST_F(Leadership, EndsConnectionsOfEarlierTokensWithTheLocksThatTheyHold) {
  Connection stale = tables(), next = connect(uri()), bystander = connect(uri());
  ASSERT_EQ(elect(stale, "sink", "stale", 300s).value(), 1);
  ASSERT_EQ(elect(bystander, "sink_2", "bystander", 300s).value(), 1);
  query(stale, "UPDATE sink_leader SET expires = '-infinity' WHERE name = 'sink'");
  query(stale, "BEGIN; INSERT INTO dead_letters VALUES ('t', 0, 1, '', '', '')");
  ASSERT_EQ(elect(next, "sink", "next", 300s).value(), 2);
  // Would wait for the stale one's transaction.
  query(next, "SET lock_timeout TO '60s'; INSERT INTO dead_letters VALUES ('t', 0, 1, '', '', '')");
  const auto gone = stale.run("COMMIT");
  ASSERT_FALSE(gone);
  EXPECT_TRUE(gone.error().lost);
  EXPECT_TRUE(bystander.run("SELECT 1"));
}

TEST_F(Leadership, IsNeededForAFirstCheckpoint) {
  Connection connection = tables();
  ASSERT_EQ(elect(connection, "sink", "me", 300s).value(), 1);
  const Position begin{LogId{random_uuid_bytes()}, millrace::Run(3), Offset(42)};
  const auto refused = create_checkpoint(connection, "trade_events", begin, {"sink", 2, 300s});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, not_the_leader);
  EXPECT_EQ(read_checkpoint(connection, "trade_events").value(), std::nullopt);
  ASSERT_TRUE(create_checkpoint(connection, "trade_events", begin, {"sink", 1, 300s}));
  const auto read = read_checkpoint(connection, "trade_events").value();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->position, begin);
  EXPECT_EQ(read->sink, "sink");
}

}  // namespace
}  // namespace millrace::delayed::postgres
