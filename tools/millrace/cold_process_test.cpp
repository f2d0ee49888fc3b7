// Proves that what was recorded comes back whole from compressed segments, by every way to read a log: verify, stat,
// dump, export and replay of the folder while a core goes on writing and compressing it, and followers of that core;
// and that damage to a compressed segment is named, and costs only what it hits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "bus/daemon/test/clients.hpp"

namespace millrace::cli {
namespace {

using millrace::testing::eventually;
using millrace::testing::Process;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* config = R"([topics.trade_events]
segment_bytes = "512 KiB"
compress_after = "1s"
)";
constexpr std::uint64_t wanted = 12'000;  // five segments and more

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  return lines;
}

std::string instrument_of(std::uint64_t sequence) {
  return sequence % 3 == 0 ? "THIRD" : "OTHER";
}

// What stands behind `name` in a line of JSON, up to the next quote.
std::string text_in(const std::string& line, const std::string& name) {
  const std::size_t at = line.find("\"" + name + "\":\"");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return line.substr(begin, line.find('"', begin) - begin);
}

class ColdLog : public ::testing::Test {
 protected:
  ColdLog() : core_(config), bus_(millrace::testing::connect(core_)), log_(core_.log_folder("trade_events")) {
    auto publisher = bus_->publisher("trade_events", "maker");
    EXPECT_TRUE(publisher) << publisher.error().message;
    publisher_.emplace(std::move(*publisher));
  }

  // Numbered as millrace::testing::Follow wants them.
  bool publish(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool done = eventually([&] {
        const std::uint64_t number = publisher_->next_sequence().value();
        return static_cast<bool>(publisher_->publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
          trade.mutate_buy_order_id(number);
          schemas::set_text(trade.mutable_instrument(), instrument_of(number));
        }));
      });
      if (!done) return false;
    }
    return true;
  }
  [[nodiscard]] std::uint64_t published() const { return publisher_->next_sequence().value() - 1; }
  [[nodiscard]] std::vector<std::string> names(const std::string& ending) const {
    std::vector<std::string> found;
    std::error_code gone;  // half made files get other names while the folder is read
    for (const auto& entry : std::filesystem::directory_iterator(log_, gone)) {
      if (entry.path().string().ends_with(ending)) found.push_back(entry.path().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  bool wait_until_cold() {
    return publish(wanted - published()) &&
           publisher_->await(Sequence(wanted), Ack::synced()).status == AckStatus::acknowledged && eventually([&] {
             return names(".wal.zst").size() >= 5 && names(".seal").size() >= 5 && names(".keys").size() >= 5 &&
                    names(".wal").size() == 1;
           });
  }

  struct Ran {
    int status = -1;
    std::vector<std::string> lines;
    std::string errors;
  };
  // The core writes some thousand events more while `command`, words for a shell as in process_test.cpp, runs.
  Ran run(const std::string& command) {
    const std::string out = core_.folder() + "/out";
    Process process({"/bin/bash", "-c",
                     "export MILLRACE_SOCKET=" + core_.socket() + " M=" + millrace::testing::program("millrace") +
                         " LOG=" + log_ + " D=" + core_.folder() + "\nexec > " + out + "\n" + command});
    for (int i = 0; i < 200 && !process.wait(std::chrono::seconds(0)); ++i) EXPECT_TRUE(publish(10));
    Ran ran;
    ran.status = process.wait().value_or(-1);
    ran.lines = lines_of(out);
    ran.errors = process.errors();
    return ran;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return core_.folder() + "/" + name; }

  // The first row of what a statement finds in out.db.
  [[nodiscard]] std::vector<std::int64_t> sql(const std::string& statement) const {
    sqlite3* database = nullptr;
    EXPECT_EQ(::sqlite3_open(file("out.db").c_str(), &database), SQLITE_OK);
    sqlite3_stmt* prepared = nullptr;
    EXPECT_EQ(::sqlite3_prepare_v2(database, statement.c_str(), -1, &prepared, nullptr), SQLITE_OK)
        << ::sqlite3_errmsg(database);
    std::vector<std::int64_t> row;
    if (::sqlite3_step(prepared) == SQLITE_ROW) {
      for (int i = 0; i < ::sqlite3_column_count(prepared); ++i) row.push_back(::sqlite3_column_int64(prepared, i));
    }
    ::sqlite3_finalize(prepared);
    ::sqlite3_close(database);
    return row;
  }

  millrace::testing::TestCore core_;
  std::unique_ptr<Bus> bus_;
  std::string log_;
  std::optional<Publisher> publisher_;
};

void expect_all_published(const std::vector<std::string>& lines) {
  ASSERT_EQ(lines.size(), wanted);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    const std::string sequence = std::to_string(i + 1);
    ASSERT_THAT(lines[i], StartsWith("{\"offset\":" + std::to_string(i) + ",\"sequence\":" + sequence + ","));
    ASSERT_EQ(text_in(lines[i], "buy_order_id"), sequence);
    ASSERT_EQ(text_in(lines[i], "instrument"), instrument_of(i + 1));
  }
}

TEST_F(ColdLog, GivesExactlyWhatWasPublishedEveryWayWhileTheCoreGoesOn) {
  ASSERT_TRUE(wait_until_cold());
  const std::string to = " --to " + std::to_string(wanted);

  const Ran dump = run("$M wal dump $LOG" + to);
  ASSERT_EQ(dump.status, 0) << dump.errors;
  ASSERT_NO_FATAL_FAILURE(expect_all_published(dump.lines));
  const Ran replay = run("$M replay $LOG" + to);
  EXPECT_EQ(replay.status, 0) << replay.errors;
  EXPECT_TRUE(replay.lines == dump.lines);
  const Ran by_core = run("$M tail trade_events --from earliest --limit " + std::to_string(wanted));
  EXPECT_EQ(by_core.status, 0) << by_core.errors;
  EXPECT_TRUE(by_core.lines == dump.lines);

  const Ran exported = run("$M wal export $LOG --format ndjson --out $D/out.jsonl" + to +
                           " && $M wal export $LOG --format csv --out $D/out.csv" + to +
                           " && $M wal export $LOG --format sqlite --out $D/out.db" + to);
  ASSERT_EQ(exported.status, 0) << exported.errors;
  EXPECT_TRUE(lines_of(file("out.jsonl")) == dump.lines);
  const auto rows = lines_of(file("out.csv"));
  ASSERT_EQ(rows.size(), wanted + 1);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    const std::string sequence = std::to_string(i + 1);
    ASSERT_THAT(rows[i + 1], StartsWith(std::to_string(i) + "," + text_in(dump.lines[i], "record_time") + ",1," +
                                        sequence + ",\"\"," + sequence + ",0," + instrument_of(i + 1) + ","));
  }
  const std::int64_t all = wanted;
  EXPECT_THAT(sql("SELECT count(*), sum(offset), sum(sequence = offset + 1), sum(buy_order_id = sequence), "
                  "sum(instrument = 'THIRD' AND sequence % 3 = 0 OR instrument = 'OTHER' AND sequence % 3 > 0) "
                  "FROM trade_events"),
              ElementsAre(all, all * (all - 1) / 2, all, all, all));

  // A follower of the running core, from the first event to the newest.
  for (const Level level : {Level::recorded, Level::synced}) {
    millrace::testing::Follow follow(*bus_, level);
    EXPECT_TRUE(follow.until(published()));
  }
}

TEST_F(ColdLog, IsReadByTimeAndThroughFiltersAsIfItWereNotCompressed) {
  ASSERT_TRUE(wait_until_cold());
  const auto lines = run("$M wal dump $LOG --to " + std::to_string(wanted)).lines;
  ASSERT_EQ(lines.size(), wanted);
  for (const std::uint64_t begin : {std::uint64_t{0}, wanted / 3, wanted - 2'000}) {
    const std::string from = text_in(lines[begin], "record_time");
    const std::string to = text_in(lines[std::min(begin + 5'000, wanted - 1)], "record_time");
    std::vector<std::string> in_range;
    std::copy_if(lines.begin(), lines.end(), std::back_inserter(in_range), [&](const std::string& line) {
      return text_in(line, "record_time") >= from && text_in(line, "record_time") < to;
    });
    const std::string range = " --from " + from + " --to " + to;
    EXPECT_TRUE(run("$M wal dump $LOG" + range).lines == in_range) << range;
    EXPECT_TRUE(run("$M replay $LOG" + range).lines == in_range) << range;
    std::erase_if(in_range, [](const std::string& line) { return text_in(line, "instrument") != "THIRD"; });
    EXPECT_TRUE(run("$M wal dump $LOG --filter instrument=THIRD" + range).lines == in_range) << range;
    EXPECT_TRUE(run("$M replay $LOG --filter instrument=THIRD" + range).lines == in_range) << range;
  }
  // By offset, from within one compressed segment to within another.
  const auto part = std::vector<std::string>(lines.begin() + 3'333, lines.begin() + 7'777);
  EXPECT_TRUE(run("$M wal dump $LOG --from 3333 --to 7777").lines == part);
  EXPECT_TRUE(run("$M replay $LOG --from 3333 --to 7777").lines == part);
}

TEST_F(ColdLog, IsVerifiedWithItsSealsAndCountedWhileTheCoreGoesOn) {
  ASSERT_TRUE(wait_until_cold());
  const Ran verify = run("$M wal verify $LOG");
  ASSERT_EQ(verify.status, 0) << verify.errors;
  ASSERT_EQ(verify.lines.size(), 2u);
  EXPECT_THAT(verify.lines[0], HasSubstr(": ok: offsets 0 to "));
  std::smatch sealed;
  ASSERT_TRUE(std::regex_match(verify.lines[1], sealed,
                               std::regex("seals: ok: (\\d+) segments sealed, \\d+ not yet; the chain ends with "
                                          "([0-9a-f]{64})")))
      << verify.lines[1];
  EXPECT_GE(std::stoi(sealed[1]), 5);
  const std::string head = sealed[2];
  // More segments are sealed: the value stays in the chain.
  const std::size_t seals = names(".seal").size();
  ASSERT_TRUE(publish(6'000));
  ASSERT_TRUE(eventually([&] { return names(".seal").size() >= seals + 2; }));
  const Ran expected = run("$M wal verify $LOG --expect-seal " + head);
  EXPECT_EQ(expected.status, 0) << expected.errors;
  std::string other = head;
  other[10] = other[10] == 'a' ? 'b' : 'a';
  const Ran unexpected = run("$M wal verify $LOG --expect-seal " + other);
  EXPECT_EQ(unexpected.status, 1);
  EXPECT_THAT(unexpected.errors, HasSubstr("no seal in the log has the chain value " + other));

  ASSERT_EQ(core_.stop(), 0);
  std::uint64_t bytes = 0;
  const auto cold = names(".wal.zst");
  for (const std::string& path : cold) bytes += std::filesystem::file_size(path);
  Process stat({millrace::testing::program("millrace"), "wal", "stat", log_, "--json"});
  const std::string line = stat.line().value_or("");
  std::smatch counted;
  ASSERT_TRUE(std::regex_search(line, counted, std::regex("\"compressed\":\\{\"count\":(\\d+),\"bytes\":(\\d+)\\}")))
      << line;
  EXPECT_EQ(std::stoull(counted[1]), cold.size());
  EXPECT_GE(std::stoull(counted[2]), bytes);
  EXPECT_LE(std::stoull(counted[2]), bytes + cold.size() * 8192) << "whole blocks of the disk";
}

TEST_F(ColdLog, NamesTheDamageToACompressedSegmentAndGivesTheRest) {
  ASSERT_TRUE(wait_until_cold());
  const std::string to = " --to " + std::to_string(wanted);
  auto whole = run("$M wal dump $LOG" + to).lines;
  ASSERT_EQ(whole.size(), wanted);
  const auto cold = names(".wal.zst");
  const std::string damaged = cold.at(1);
  {
    std::fstream bytes(damaged, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(damaged) / 2);
    bytes.seekg(middle);
    const char byte = static_cast<char>(bytes.get() ^ 0x10);
    bytes.seekp(middle);
    bytes.put(byte);
  }
  const Ran verify = run("$M wal verify $LOG");
  EXPECT_EQ(verify.status, 1);
  EXPECT_THAT(verify.lines[0], HasSubstr(": BAD: "));
  std::smatch named;
  ASSERT_TRUE(std::regex_search(verify.errors, named,
                                std::regex("segment (\\S+)\\.wal is corrupt from byte (\\d+) to (\\d+): events from "
                                           "offset (\\d+) to before (\\d+) are lost; restore the file")))
      << verify.errors;
  EXPECT_EQ(named[1].str() + ".wal.zst", std::filesystem::path(damaged).filename().string());
  EXPECT_LT(std::stoull(named[2]), std::stoull(named[3]));
  EXPECT_LE(std::stoull(named[3]), 512u * 1024);
  const std::uint64_t from = std::stoull(named[4]), end = std::stoull(named[5]);
  const auto first_of = [](const std::string& path) {
    return std::stoull(std::filesystem::path(path).filename().string().substr(0, 20));
  };
  EXPECT_GE(from, first_of(damaged));
  EXPECT_LT(from, end);
  EXPECT_LE(end, first_of(cold.at(2)));
  EXPECT_THAT(verify.errors, HasSubstr(named[1].str())) << "its seal does not fit any more";

  const auto gone = whole.begin() + static_cast<std::ptrdiff_t>(from);
  whole.erase(gone, gone + static_cast<std::ptrdiff_t>(end - from));
  const std::string lost =
      "events from offset " + std::to_string(from) + " to before " + std::to_string(end) + " are lost";
  for (const std::string& command : std::vector<std::string>{"$M wal dump $LOG", "$M replay $LOG"}) {
    const Ran ran = run(command + to);
    EXPECT_EQ(ran.status, 1) << command;
    EXPECT_THAT(ran.errors, HasSubstr(lost)) << command;
    EXPECT_TRUE(ran.lines == whole) << command;
  }
  for (const char* const format : {"ndjson", "csv", "sqlite"}) {
    const Ran ran = run("$M wal export $LOG --force --out $D/out.db --format " + std::string(format) + to);
    EXPECT_EQ(ran.status, 1) << format;
    EXPECT_THAT(ran.errors, HasSubstr(lost)) << format;
    if (std::string_view(format) == "sqlite") continue;
    const auto shown = lines_of(file("out.db"));
    if (std::string_view(format) == "csv") {
      EXPECT_EQ(shown.size(), whole.size() + 1);
    } else {
      EXPECT_TRUE(shown == whole);
    }
  }
  const auto count = static_cast<std::int64_t>(whole.size());
  const auto missing = static_cast<std::int64_t>(end - from);
  EXPECT_THAT(sql("SELECT count(*), sum(buy_order_id = sequence), max(offset) - min(offset) + 1 FROM trade_events"),
              ElementsAre(count, count, count + missing));
  EXPECT_EQ(core_.stop(), 0) << "the core goes on writing";
}

}  // namespace
}  // namespace millrace::cli
