// Proves the command line as its users have it: the built program against a real core. What is published comes back
// from tail, status, dump and verify, equal; and the exit statuses are those that --help names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "bus/daemon/test/processes.hpp"

namespace millrace::cli {
namespace {

using millrace::testing::Process;
using millrace::testing::program;
using millrace::testing::TestCore;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Ran {
  int status = -1;
  std::vector<std::string> lines;
  std::string errors;
};

Ran finish(Process process) {
  Ran ran;
  while (auto line = process.line()) ran.lines.push_back(*line);
  ran.status = process.wait().value_or(-1);
  ran.errors = process.errors();
  return ran;
}

// Prints a thousand trades.
constexpr const char* thousand = R"(thousand() {
  for i in $(seq 1000); do echo '{"trade_id":"T-'$i'","instrument":"MILL","quantity":"'$i'"}'; done
}
)";

// `command`: words for a shell, where $M is the program, $MILLRACE_SOCKET the core's, and thousand() as above.

Process shell(const TestCore& core, const std::string& command) {
  std::string script = thousand;
  script += "export MILLRACE_SOCKET=";
  script += core.socket();
  script += " M=";
  script += program("millrace");
  script += '\n';
  script += command;
  return Process({"/bin/bash", "-o", "pipefail", "-c", std::move(script)});
}
Ran run(const TestCore& core, const std::string& command) {
  return finish(shell(core, command));
}

TEST(CommandLine, PublishesAThousandLinesAndReadsTheSameBackEveryWay) {
  TestCore core;
  const Ran published = run(core, "thousand | $M publish trade_events --name cli --wait synced");
  ASSERT_EQ(published.status, 0) << published.errors;
  EXPECT_THAT(published.errors, HasSubstr("published 1000 events, last sequence 1000"));

  const Ran tail = run(core, "$M tail trade_events --from earliest --limit 1000");
  ASSERT_EQ(tail.status, 0) << tail.errors;
  ASSERT_EQ(tail.lines.size(), 1000u);
  EXPECT_THAT(tail.lines[0], StartsWith("{\"offset\":0,\"sequence\":1,\"publisher\":1,\"epoch\":1,"));
  EXPECT_THAT(tail.lines[999], HasSubstr("\"trade_id\":\"T-1000\""));
  EXPECT_EQ(run(core, "$M tail trade_events --from earliest --level synced --no-follow").lines, tail.lines);

  const Ran status = run(core, "$M status --json");
  EXPECT_EQ(status.status, 0) << status.errors;
  ASSERT_EQ(status.lines.size(), 1u);
  EXPECT_THAT(status.lines[0], HasSubstr("\"recorded_end\":1000,\"synced_end\":1000"));
  EXPECT_THAT(run(core, "$M status").lines[0], StartsWith("core       healthy, pid "));

  EXPECT_EQ(core.stop(), 0);
  const Ran verify = run(core, "$M wal verify " + core.log_folder("trade_events"));
  EXPECT_EQ(verify.status, 0) << verify.errors;
  ASSERT_EQ(verify.lines.size(), 1u);
  EXPECT_THAT(verify.lines[0], HasSubstr(": ok: offsets 0 to 1000, 1000 events"));
  const Ran dump = run(core, "$M wal dump trade_events --config " + core.config_file());
  EXPECT_EQ(dump.status, 0) << dump.errors;
  EXPECT_EQ(dump.lines, tail.lines);
}

TEST(CommandLine, TailBeginsWithASnapshotWhereItIsAskedFor) {
  TestCore core;
  const std::string lines =
      R"(printf '{"instrument":"%s","price":"%s"}\n' A 1.0 B 2.0 A 3.0 C 4.0 A 5.0 | $M publish trade_events --wait synced)";
  ASSERT_EQ(run(core, lines).status, 0);
  const Ran all = run(core, "$M tail trade_events --from earliest --no-follow");
  ASSERT_EQ(all.lines.size(), 5u) << all.errors;
  const auto snapshot = [&](std::size_t i) {
    return all.lines[i].substr(0, all.lines[i].size() - 1) + ",\"snapshot\":true}";
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(run(core, "$M tail trade_events --snapshot --no-follow").lines,
              ElementsAre(snapshot(1), snapshot(3), snapshot(4)));
  EXPECT_THAT(run(core, "$M tail trade_events --snapshot --from 3 --no-follow").lines,
              ElementsAre(snapshot(1), snapshot(2), all.lines[3], all.lines[4]));
  EXPECT_EQ(run(core, "$M tail trade_events --snapshot --from earliest --no-follow").lines, all.lines);
  EXPECT_THAT(run(core, "$M tail trade_events --snapshot --filter instrument=B --no-follow --level synced").lines,
              ElementsAre(snapshot(1)));
  const Ran live = run(core, "$M tail trade_events --snapshot --level live");
  EXPECT_EQ(live.status, 2);
  EXPECT_THAT(live.errors, HasSubstr("subscribe at level recorded or synced"));
}

TEST(CommandLine, TailsLiveUntilCtrlC) {
  TestCore core;
  Process tail({program("millrace"), "tail", "trade_events", "--level", "live", "--socket", core.socket()});
  std::optional<std::string> line;
  // Live begins at now, which is when its subscription is there.
  ASSERT_TRUE(millrace::testing::eventually([&] {
    EXPECT_EQ(run(core, "echo '{\"trade_id\":\"T\"}' | $M publish trade_events").status, 0);
    line = tail.line(std::chrono::seconds(1));
    return line.has_value();
  }));
  EXPECT_THAT(*line, StartsWith("{\"offset\":null,"));
  tail.signal(SIGINT);
  EXPECT_EQ(tail.wait(), 130);
}

TEST(CommandLine, ReplaysByTheCoreAndFromFoldersWithoutIt) {
  TestCore core;
  ASSERT_EQ(run(core, "thousand | $M publish trade_events --wait synced").status, 0);
  const Ran tail = run(core, "$M tail trade_events --from earliest --no-follow");
  const Ran by_core = run(core, "$M replay trade_events");
  EXPECT_EQ(by_core.status, 0) << by_core.errors;
  EXPECT_EQ(by_core.errors, "") << "no progress where standard error is no terminal";
  EXPECT_EQ(by_core.lines, tail.lines);
  const Ran part = run(core, "$M replay trade_events --from 10 --to 20 --limit 5 --speed 10");
  EXPECT_EQ(part.lines, (std::vector<std::string>(tail.lines.begin() + 10, tail.lines.begin() + 15)));
  const Ran one = run(core, "$M replay trade_events --filter trade_id=T-7 --filter instrument=MILL");
  EXPECT_EQ(one.lines, std::vector<std::string>{tail.lines[6]});

  Process follow(
      {program("millrace"), "replay", "trade_events", "--from", "999", "--follow", "--socket", core.socket()});
  EXPECT_EQ(follow.line(), tail.lines[999]);
  EXPECT_EQ(run(core, "echo '{\"trade_id\":\"LIVE\"}' | $M publish trade_events").status, 0);
  EXPECT_THAT(follow.line().value_or(""), HasSubstr("\"trade_id\":\"LIVE\""));
  follow.signal(SIGINT);
  EXPECT_EQ(follow.wait(), 130);

  const std::string folder = core.log_folder("trade_events");
  core.kill();
  const Ran offline = run(core, "$M replay " + folder + " --to 1000");
  EXPECT_EQ(offline.status, 0) << offline.errors;
  EXPECT_EQ(offline.lines, tail.lines);
  EXPECT_EQ(run(core, "$M replay trade_events --to 1000 --config " + core.config_file()).lines, tail.lines);
  const Ran quiet = run(core, "$M replay " + folder + " --quiet --progress");
  EXPECT_THAT(quiet.lines, ::testing::IsEmpty());
  EXPECT_THAT(quiet.errors, HasSubstr("100 % [####################]"));
  EXPECT_THAT(quiet.errors, HasSubstr("offset 1001"));
  const Ran merged = run(core, "$M replay " + folder + " " + folder + " --to 2");
  ASSERT_EQ(merged.lines.size(), 4u);
  EXPECT_EQ(merged.lines[0], "{\"topic\":\"trade_events\"," + tail.lines[0].substr(1));
}

TEST(CommandLine, AReplayThatCannotBeSaysWhy) {
  TestCore core;
  ASSERT_EQ(run(core, "thousand | $M publish trade_events --wait synced").status, 0);
  const struct {
    const char* arguments;
    int status;
    const char* says;
  } cases[] = {
      {"nothing", 2, "no topic 'nothing'"},
      {"/nowhere/log", 2, "/nowhere/log"},
      {"trade_events --from 5 --to 3", 2, "trade_events: offsets 5 to 3: reversed"},
      {"trade_events --from 5000", 2, "offset 5000 is beyond the end: the log ends at 1000"},
      {"trade_events --to 1001", 2, "offset 1001, is not there yet: the log ends at 1000"},
      {"trade_events --from 09:30", 2, "'09:30' is no place to begin"},
      {"trade_events --to noon", 2, "'noon' is no place to end"},
      {"trade_events --from 2100-01-01T00:00:00Z", 2, "nothing was recorded at 2100-01-01"},
      {"trade_events --filter colour=red", 2, "cannot be filtered by 'colour'; there are: "},
      {"trade_events --filter colour", 2, "is not field=value"},
      {"trade_events --consumer nobody", 2, "no durable consumer 'nobody'"},
      {"trade_events --speed fast", 2, "the speed 'fast'"},
      {"trade_events --follow --to 5", 2, "--to"},
      {"trade_events --consumer x --from 5", 2, "--from"},
  };
  for (const auto& c : cases) {
    const Ran ran = run(core, std::string("$M replay ") + c.arguments);
    EXPECT_EQ(ran.status, c.status) << c.arguments;
    EXPECT_THAT(ran.errors, HasSubstr(c.says)) << c.arguments;
    EXPECT_THAT(ran.lines, ::testing::IsEmpty()) << c.arguments;
  }
  core.kill();
  EXPECT_EQ(run(core, "$M replay trade_events --timeout 0.2").status, 3);
}

TEST(CommandLine, EndsQuietlyBehindHead) {
  TestCore core;
  ASSERT_EQ(run(core, "thousand | $M publish trade_events").status, 0);
  const Ran head = run(core, "$M tail trade_events --from earliest | head -n 2");
  EXPECT_EQ(head.status, 0) << head.errors;
  EXPECT_EQ(head.lines.size(), 2u);
  EXPECT_EQ(head.errors, "");
}

TEST(CommandLine, SaysWhatIsWrongAndExitsAccordingly) {
  TestCore core;
  const Ran topic = run(core, "$M tail nothing");
  EXPECT_EQ(topic.status, 2);
  EXPECT_THAT(topic.errors, HasSubstr("no topic 'nothing'"));
  const Ran line = run(core, "echo '{\"colour\":1}' | $M publish trade_events");
  EXPECT_EQ(line.status, 2);
  EXPECT_THAT(line.errors, HasSubstr("line 1: "));
  EXPECT_EQ(run(core, "$M tail trade_events --level live --no-follow").status, 2);
  EXPECT_EQ(run(core, "$M tail trade_events --filter colour=red").status, 2);
  EXPECT_EQ(run(core, "$M frobnicate").status, 2);
  EXPECT_EQ(run(core, "$M doctor --config " + core.config_file()).status, 0);
  core.kill();
  EXPECT_EQ(run(core, "$M status --timeout 0.2").status, 3);
  const Ran doctor = run(core, "$M doctor --config " + core.config_file());
  EXPECT_THAT(::testing::PrintToString(doctor.lines), HasSubstr("died"));
}

}  // namespace
}  // namespace millrace::cli
