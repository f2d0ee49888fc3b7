// Proves with real processes that whatever is killed or stopped, and whenever, every event is in the database once;
// that one sink writes at a time; and that a database that is away is waited for, and seen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <filesystem>

#include "subscribers/delayed/postgres/sink.hpp"
#include "subscribers/delayed/postgres/testing/sink_rig.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;
using millrace::testing::eventually;
using millrace::testing::Process;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Sink : public testing::WithSinks {
 protected:
  void SetUp() override {
    WithSinks::SetUp();
    if (IsSkipped()) return;
    const auto migrated = tables();
    connect_database();
  }
};

// A topic that only root may manage, and somebody else.
class SinkOfAnotherUser : public Sink {
 protected:
  SinkOfAnotherUser() { topics_config_ = "[topics.trade_events]\nwriters = [\"root\"]\n"; }
  void SetUp() override {
    nobody_ = ::getpwnam("nobody");
    if (::geteuid() != 0 || nobody_ == nullptr) GTEST_SKIP() << "only root can be somebody else";
    Sink::SetUp();
  }
  // By whom it is connected, the core sees once.
  std::unique_ptr<Bus> connect_as_nobody() {
    std::filesystem::permissions(core().folder(), std::filesystem::perms(0755));
    EXPECT_EQ(::seteuid(nobody_->pw_uid), 0);
    auto bus = millrace::testing::connect(core());
    EXPECT_EQ(::seteuid(0), 0);
    return bus;
  }
  // Works until the database has a checkpoint, or there is an error.
  std::unique_ptr<postgres::Sink> sink_in_here(Bus& bus, const std::string& name) {
    SinkOptions options;
    options.database = uri();
    options.name = name;
    options.topics = {"trade_events"};
    options.holder = "test";
    auto sink = postgres::Sink::open(bus, options).value();
    EXPECT_TRUE(eventually([&] {
      sink->do_work(system_clock().monotonic());
      return sink->error() || ask("SELECT count(*) FROM sink_checkpoints") == "1";
    }));
    return sink;
  }

 private:
  const passwd* nobody_ = nullptr;
};

// Of the name, as the database shows it.
constexpr const char* leaders = "SELECT count(*) FROM sink_status WHERE role = 'leader'";
constexpr const char* standbys = "SELECT count(*) FROM sink_status WHERE role = 'standby'";

TEST_F(Sink, KilledWithinItsBatchesAgainAndAgainWritesEveryEventOnce) {
  slow_down("0.02");
  for (int round = 0; round < 6; ++round) {
    Process killed = sink();
    publish(1500);
    const std::string before = ask("SELECT coalesce(sum(next_offset), 0) FROM sink_checkpoints");
    // A few batches on, in whatever it does then; in every other round surely within a transaction.
    ASSERT_TRUE(comes_to("SELECT coalesce(sum(next_offset), 0) > " + before + " FROM sink_checkpoints", "t"))
        << killed.errors();
    if (round % 2 == 0) {
      ASSERT_TRUE(in_a_batch()) << killed.errors();
    }
    killed.signal(SIGKILL);
    ASSERT_TRUE(killed.wait());
  }
  slow_down("0");
  Process last = sink();
  ASSERT_TRUE(all_written()) << last.errors();
  expect_the_tables_are_the_log();
  EXPECT_TRUE(eventually([&] { return acknowledged() == published(); })) << "so that retention knows";
  last.signal(SIGTERM);
  EXPECT_EQ(last.wait(), 0) << last.errors();
  EXPECT_EQ(ask("SELECT expires < now() FROM sink_leader"), "t") << "it gave the leadership up";
}

TEST_F(Sink, LivesThroughTheDeathOfTheServerWithinABatchAndWritesEveryEventOnce) {
  slow_down("0.05");
  Process survivor = sink();
  for (int round = 0; round < 4; ++round) {
    publish(1500);
    ASSERT_TRUE(in_a_batch()) << survivor.errors();
    cluster().kill();
    publish(200);
    cluster().start();
    connect_database();
  }
  slow_down("0");
  ASSERT_TRUE(all_written()) << survivor.errors();
  expect_the_tables_are_the_log();
  EXPECT_THAT(survivor.errors(), HasSubstr("breaker open"));
  EXPECT_THAT(survivor.errors(), HasSubstr("breaker closed"));
}

TEST_F(Sink, AStoppedLeaderIsReplacedAndWritesNothingWhenItWakesUp) {
  Process first = sink();
  ASSERT_TRUE(comes_to(leaders, "1")) << first.errors();
  Process second = sink();
  ASSERT_TRUE(comes_to(standbys, "1")) << second.errors();
  publish(600);
  ASSERT_TRUE(all_written());
  slow_down("0.02");
  publish(600);
  ASSERT_TRUE(in_a_batch());
  ASSERT_TRUE(millrace::testing::stop_and_wait(first.pid()));
  publish(600);
  ASSERT_TRUE(all_written()) << second.errors();
  EXPECT_EQ(ask("SELECT token FROM sink_leader"), "2");
  EXPECT_THAT(second.errors(), HasSubstr("leads with token 2"));
  first.signal(SIGCONT);
  publish(600);
  ASSERT_TRUE(eventually([&] { return first.errors().find("leads no more") != std::string::npos; })) << first.errors();
  ASSERT_TRUE(all_written()) << second.errors();
  EXPECT_EQ(ask("SELECT token FROM sink_leader"), "2");
  expect_the_tables_are_the_log();
  // And back again.
  second.signal(SIGKILL);
  publish(600);
  ASSERT_TRUE(all_written()) << first.errors();
  EXPECT_EQ(ask("SELECT DISTINCT token FROM sink_checkpoints"), "3");
  expect_the_tables_are_the_log();
}

TEST_F(Sink, WaitsForADatabaseThatIsAwayAndTheCoreSeesItLagButLive) {
  Process waiting = sink();
  publish(100);
  ASSERT_TRUE(all_written()) << waiting.errors();
  cluster().kill();
  publish(4000);
  ASSERT_TRUE(eventually([&] {
    const auto seen = seen_by_the_core();
    return seen && seen->state == control::ConsumerState::lagging;
  })) << "more than the core's lag_limit behind";
  EXPECT_LT(acknowledged(), 600U) << "nothing is acknowledged that the database does not have";
  // Several times as long as it takes to be called stalled.
  const MonotonicTime end = system_clock().monotonic() + 2500ms;
  ASSERT_TRUE(eventually([&] {
    const auto seen = seen_by_the_core();
    EXPECT_TRUE(seen && seen->state == control::ConsumerState::lagging);
    return system_clock().monotonic() > end;
  }));
  cluster().start();
  connect_database();
  ASSERT_TRUE(all_written()) << waiting.errors();
  expect_the_tables_are_the_log();
  EXPECT_TRUE(eventually([&] {
    const auto seen = seen_by_the_core();
    return seen && seen->state == control::ConsumerState::live;
  }));
  EXPECT_TRUE(
      comes_to("SELECT breaker, breaker_opened > 0, lag_events, rows_written, dead_letters, last_error <> '' "
               "FROM sink_status WHERE role = 'leader'",
               "closed|t|0|" + std::to_string(3 * published() - 4) + "|4|t"))
      << ask("SELECT * FROM sink_status");
}

TEST_F(Sink, GoesOnWhereTheDatabaseIsWhateverTheCoreSaysOfItsConsumer) {
  publish(1000);
  {
    Process first = sink();
    ASSERT_TRUE(all_written()) << first.errors();
    // While it runs: its name is taken away, and it takes it back.
    ASSERT_TRUE(bus().reset_consumer("trade_events", "postgres", StartEarliest{}));
    publish(1000);
    ASSERT_TRUE(all_written()) << first.errors();
    first.signal(SIGTERM);
    ASSERT_EQ(first.wait(), 0) << first.errors();
  }
  ASSERT_TRUE(bus().reset_consumer("trade_events", "postgres", StartEarliest{}));
  ASSERT_TRUE(bus().delete_consumer("account_events", "postgres"));
  ASSERT_TRUE(bus().reset_consumer("market_l2", "postgres", Offset(1)));
  publish(1000);
  Process second = sink();
  ASSERT_TRUE(all_written()) << second.errors();
  // And the core dies.
  core().kill();
  core().start();
  reconnect();
  publish(1000);
  ASSERT_TRUE(all_written()) << second.errors();
  expect_the_tables_are_the_log();
  EXPECT_TRUE(eventually([&] { return acknowledged() == published(); }));
}

TEST_F(SinkOfAnotherUser, DoesNotBeginANewDatabaseWhereAnotherOneIs) {
  publish(1000);
  {
    Process first = sink();
    ASSERT_TRUE(all_written()) << first.errors();
    ASSERT_TRUE(eventually([&] { return acknowledged() == published(); }));
    first.signal(SIGTERM);
    ASSERT_EQ(first.wait(), 0) << first.errors();
  }
  ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  (void)tables();
  const auto bus = connect_as_nobody();
  ASSERT_NE(bus, nullptr);
  const auto same_name = sink_in_here(*bus, "postgres");
  ASSERT_TRUE(same_name->error()) << "begins at offset " << ask("SELECT next_offset FROM sink_checkpoints");
  EXPECT_THAT(same_name->error()->message, HasSubstr("may not manage 'trade_events'"));
  same_name->stop();
  const auto new_name = sink_in_here(*bus, "new");
  ASSERT_FALSE(new_name->error()) << new_name->error()->message;
  ASSERT_TRUE(eventually([&] {
    new_name->do_work(system_clock().monotonic());
    return ask("SELECT count(*), min(log_offset) FROM trades") == "999|0";
  })) << ask("SELECT count(*), min(log_offset) FROM trades");
}

TEST_F(Sink, SaysWhatIsWrongAtTheStart) {
  EXPECT_THAT(end_of(sink({}, "no_such_topic")), ::testing::AllOf(StartsWith("1: "), HasSubstr("no_such_topic")));
  EXPECT_THAT(
      end_of(sink({}, "orders")),
      ::testing::AllOf(StartsWith("1: "), HasSubstr("'orders', which has no tables; the sink takes trade_events")));
  const auto into = [&](const std::string& database) {
    return end_of(Process({millrace::testing::program("millrace-postgres-sink"), "--database", database, "--topics",
                           "trade_events", "--socket", core().socket()}));
  };
  EXPECT_THAT(into("postgresql://[broken"),
              ::testing::AllOf(StartsWith("1: "), HasSubstr("URI"), HasSubstr("--database")));
  EXPECT_THAT(into(cluster().uri("no_such_database")),
              ::testing::AllOf(StartsWith("1: "), HasSubstr("\"no_such_database\" does not exist")));
  EXPECT_THAT(into(cluster().uri(name(), "nobody")), ::testing::AllOf(StartsWith("1: "), HasSubstr("\"nobody\"")));
  const std::string reader = name() + "_reader";
  ask("CREATE ROLE " + reader + " LOGIN");
  EXPECT_THAT(into(cluster().uri(name(), reader)), ::testing::AllOf(StartsWith("1: "), HasSubstr("permission denied")));
  // What is missing is not seen before the first row.
  ask("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + reader +
      "; REVOKE INSERT ON trades FROM " + reader);
  publish(1);
  EXPECT_THAT(into(cluster().uri(name(), reader)),
              ::testing::AllOf(StartsWith("1: "), HasSubstr("permission denied for table trades")));
  Process migrate_only({millrace::testing::program("millrace-postgres-sink"), "--database", uri(), "--migrate-only"});
  EXPECT_THAT(end_of(std::move(migrate_only)), StartsWith("0: "));
  ask("UPDATE millrace_migrations SET checksum = 'another' WHERE name = '001_sink.sql'");
  EXPECT_THAT(into(uri()), ::testing::AllOf(StartsWith("1: "), HasSubstr("001_sink.sql has changed")));
}

TEST_F(Sink, StartedBeforeItsDatabaseWaitsForItAndThenMakesItsTables) {
  ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  cluster().kill();
  Process early = sink();
  publish(700);
  ASSERT_TRUE(eventually([&] { return early.errors().find("breaker open") != std::string::npos; })) << early.errors();
  EXPECT_THAT(early.errors(), HasSubstr("is tried again until it answers: connecting: "));
  EXPECT_THAT(early.errors(), HasSubstr(cluster().folder())) << "which one";
  EXPECT_EQ(early.wait(0s), std::nullopt) << early.errors();
  cluster().start();
  connect_database();
  ASSERT_TRUE(comes_to("SELECT to_regclass('sink_checkpoints') IS NOT NULL", "t")) << early.errors();
  ASSERT_TRUE(all_written()) << early.errors();
  expect_the_tables_are_the_log();
  EXPECT_THAT(early.errors(), HasSubstr("breaker closed"));
}

TEST_F(Sink, ABatchThatTakesLongerThanTheLeaseKeepsTheLeadership) {
  // Long, so that no renewal is late by the rest of it, however busy the machine is.
  const auto leased = [&] { return sink({}, "trade_events,account_events,market_l2", "3s"); };
  Process first = leased();
  ASSERT_TRUE(comes_to(leaders, "1")) << first.errors();
  publish(10);
  ASSERT_TRUE(all_written()) << first.errors();
  Process second = leased();
  ASSERT_TRUE(comes_to(standbys, "1")) << second.errors();
  // The batch stands at a gate, for more than two leases by the database's clock.
  ask("CREATE TABLE gate AS SELECT 1; CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN WHILE "
      "EXISTS "
      "(SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL; END $$; "
      "CREATE TRIGGER stand AFTER INSERT ON trades FOR EACH STATEMENT EXECUTE FUNCTION stand()");
  publish(10);
  const auto at_the_gate =
      "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%INSERT INTO trades%'";
  ASSERT_TRUE(comes_to(at_the_gate, "1")) << first.errors();
  ask("CREATE TABLE began AS SELECT clock_timestamp() AS at");
  ASSERT_TRUE(comes_to("SELECT heartbeat > at + interval '7 s' OR token > 1 FROM sink_leader, began", "t"))
      << first.errors();
  EXPECT_TRUE(comes_to(at_the_gate, "1")) << "it is still that batch";
  ask("DELETE FROM gate");
  ASSERT_TRUE(all_written()) << first.errors();
  publish(10);
  ASSERT_TRUE(all_written()) << first.errors();
  EXPECT_EQ(ask("SELECT token FROM sink_leader"), "1") << first.errors() << second.errors();
  EXPECT_EQ(ask("SELECT DISTINCT token FROM sink_checkpoints"), "1");
  EXPECT_EQ(ask(standbys), "1");
}

TEST_F(Sink, ATableThatTakesNothingKeepsOnlyItsOwnTopicWaiting) {
  Process first = sink({}, "trade_events,account_events,market_l2", "4s");
  publish(10);
  ASSERT_TRUE(all_written()) << first.errors();
  ask("ALTER TABLE trades RENAME TO elsewhere");
  publish(2000);
  const auto others = "SELECT min(next_offset) FROM sink_checkpoints WHERE topic <> 'trade_events'";
  ASSERT_TRUE(comes_to(others, std::to_string(published()))) << first.errors();
  EXPECT_EQ(ask("SELECT next_offset FROM sink_checkpoints WHERE topic = 'trade_events'"), "10");
  // With nothing to write but what is refused, it leads for longer than its lease.
  ask("CREATE TABLE began AS SELECT clock_timestamp() AS at");
  ASSERT_TRUE(comes_to("SELECT heartbeat > at + interval '5 s' FROM sink_leader, began", "t")) << first.errors();
  ask("ALTER TABLE elsewhere RENAME TO trades");
  ASSERT_TRUE(all_written()) << first.errors();
  expect_the_tables_are_the_log();
}

TEST_F(Sink, RefusesTablesOfAnotherSinkOrLog) {
  publish(10);
  {
    Process first = sink();
    ASSERT_TRUE(all_written()) << first.errors();
    first.signal(SIGTERM);
    ASSERT_EQ(first.wait(), 0);
  }
  EXPECT_THAT(end_of(sink({"--name", "other"})),
              ::testing::AllOf(StartsWith("1: "), HasSubstr("belongs to the sink 'postgres'")));
  ask("UPDATE sink_checkpoints SET log_id = '00000000-0000-0000-0000-000000000001'");
  EXPECT_THAT(end_of(sink()),
              ::testing::AllOf(StartsWith("1: "), HasSubstr("of another log"), HasSubstr("sink_checkpoints")));
  ask("DELETE FROM sink_checkpoints");
  EXPECT_THAT(end_of(sink()), ::testing::AllOf(StartsWith("1: "), HasSubstr("does not say how far they go")));
}

}  // namespace
}  // namespace millrace::delayed::postgres
