// Proves that an export holds every event as the log has it, in each format; that its file appears whole or not at all;
// that ranges and filters choose, and are refused where they make no sense; and that `wal stat` counts what is there.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "bus/base/temporary_folder.hpp"
#include "bus/log_schema.hpp"
#include "subscribers/historical/replay.hpp"
#include "tools/millrace/partial_file.hpp"
#include "tools/millrace/wal_dump.hpp"
#include "tools/millrace/wal_export.hpp"
#include "tools/millrace/wal_stat.hpp"
#include "wal/chain.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::cli {
namespace {

using schemas::EventType;
using schemas::Registry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ExportTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t first_time = 1'700'000'000'000'000'000;

  ExportTest() {
    auto writer = wal::testing::begin(wal::posix_file_system(), wal::testing::small_segments(), log());
    EXPECT_TRUE(writer) << writer.error().message;
    writer_.emplace(std::move(*writer));
  }

  // One batch of events, a second after the one before.
  void add(const EventType& type, const std::vector<std::string>& events) {
    std::vector<std::byte> frames;
    const Sequence first = writer_->publishers().at(0).last_sequence.next();
    for (const std::string& json : events) {
      const auto payload = type.from_json(json);
      ASSERT_TRUE(payload) << payload.error().message;
      FrameHeader header{};
      header.length = static_cast<std::uint32_t>(frame_header_size + payload->size());
      header.event_type = static_cast<std::uint16_t>(type.id());
      header.sequence = (first + static_cast<std::uint64_t>(&json - events.data())).value();
      const std::size_t at = frames.size();
      frames.resize(at + frame_size(payload->size()));
      std::memcpy(frames.data() + at, &header, sizeof header);
      std::memcpy(frames.data() + at + sizeof header, payload->data(), payload->size());
    }
    const auto done =
        writer_->append(wal::testing::publisher, Epoch(1), first, static_cast<std::uint32_t>(events.size()), frames,
                        WallTime{first_time + 1'000'000'000 * batches_++});
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(writer_->sync());
  }
  void add_trades(int count) {
    std::vector<std::string> events;
    for (int i = 0; i < count; ++i, ++trades_) {
      const std::string number = std::to_string(trades_);
      events.push_back(R"({"trade_id":"T,)" + number + R"(","instrument":")" + (trades_ % 2 == 0 ? "EVEN" : "ODD") +
                       R"(","price":"1808.080","quantity":")" + number + R"("})");
    }
    add(type("trade_events"), events);
  }
  const EventType& type(std::string_view name) { return *registry_.find(name); }
  // A user's schema, kept in the log as that of the events from now on.
  std::unique_ptr<EventType> keep(const std::string& table) {
    const std::string path = folder_.path() + "/fills.fbs";
    std::ofstream(path) << table << "\nroot_type Fill;\n";
    Registry scratch;
    const auto added = scratch.add_user_schema("fills", EventTypeId{1000}, path, "", "");
    EXPECT_TRUE(added) << added.error().message;
    EXPECT_TRUE(keep_schema(wal::posix_file_system(), log(), **added, writer_->next_offset()));
    return Registry::make_kept("fills", EventTypeId{1000}, (*added)->bfbs(), "", "", "test").value();
  }

  Exit run(const std::string& format, LogRange range = {}, bool force = false) {
    ::testing::internal::CaptureStderr();
    const Exit result = wal_export(
        {.choice = {.log = log()}, .range = std::move(range), .format = format, .out = out(), .force = force});
    errors_ = ::testing::internal::GetCapturedStderr();
    return result;
  }
  [[nodiscard]] std::vector<std::string> lines() const { return lines_of(out()); }
  [[nodiscard]] static std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream in(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  std::vector<std::string> printed(const std::function<Exit(Output&)>& command) {
    const std::string path = folder_.path() + "/printed";
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    Output output(file.get());
    ::testing::internal::CaptureStderr();
    exit_ = command(output);
    errors_ = ::testing::internal::GetCapturedStderr();
    return lines_of(path);
  }
  // Rows, their columns with '|' between.
  std::vector<std::string> sql(const std::string& query) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open_v2(out().c_str(), &database, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    std::vector<std::string> rows;
    const auto take = [](void* into, int count, char** values, char**) {
      std::string row;
      for (int i = 0; i < count; ++i)
        row += (i == 0 ? "" : "|") + std::string(values[i] == nullptr ? "NULL" : values[i]);
      static_cast<std::vector<std::string>*>(into)->push_back(row);
      return 0;
    };
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(database, query.c_str(), take, &rows, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(database);
    return rows;
  }
  [[nodiscard]] std::string log() const { return folder_.path() + "/log"; }
  [[nodiscard]] std::string out() const { return folder_.path() + "/out"; }
  [[nodiscard]] bool is_there(const std::string& path) const { return std::filesystem::exists(path); }

  TemporaryFolder folder_;
  Registry registry_ = Registry::built_in();
  std::optional<wal::Writer> writer_;
  int trades_ = 0;
  std::int64_t batches_ = 0;
  Exit exit_ = Exit::ok;
  std::string errors_;
};

TEST_F(ExportTest, csv_has_a_line_of_names_and_one_for_each_event) {
  add_trades(3);
  ASSERT_EQ(run("csv"), Exit::ok) << errors_;
  ASSERT_EQ(lines().size(), 4u);
  EXPECT_EQ(lines()[0],
            "offset,record_time,publisher,sequence,trade_id,buy_order_id,sell_order_id,instrument,price,quantity,"
            "aggressor,buyer_account,seller_account,match_time");
  EXPECT_EQ(lines()[3], R"(2,2023-11-14T22:13:20.000000000Z,1,3,"T,2",0,0,EVEN,1808.080,2,none,"","",0)");
  EXPECT_THAT(errors_, HasSubstr("3 events in "));
}

TEST_F(ExportTest, json_lines_are_what_dump_prints) {
  add_trades(100);
  add_trades(100);
  ASSERT_EQ(run("ndjson"), Exit::ok) << errors_;
  EXPECT_EQ(lines().size(), 200u);
  EXPECT_EQ(lines(), printed([&](Output& output) { return wal_dump({.choice = {.log = log()}}, output); }));
}

TEST_F(ExportTest, sqlite_is_exact_in_its_table_and_easy_in_its_view) {
  add(type("trade_events"),
      {R"({"trade_id":"a'b","buy_order_id":"18446744073709551615","price":"-9223372036854775.808",)"
       R"("quantity":"3.50","aggressor":"sell"})",
       R"({"trade_id":"中","price":"2","quantity":"0.00000001"})"});
  ASSERT_EQ(run("sqlite"), Exit::ok) << errors_;
  EXPECT_THAT(sql(R"(SELECT offset, sequence, record_time, price_mantissa, price_scale, buy_order_id, trade_id
                     FROM trade_events_exact ORDER BY offset)"),
              ElementsAre("0|1|1700000000000000000|-9223372036854775808|3|18446744073709551615|a'b",
                          "1|2|1700000000000000000|2|0|0|中"));
  EXPECT_THAT(sql("SELECT price, quantity, aggressor, typeof(price) FROM trade_events ORDER BY offset"),
              ElementsAre("-9.22337203685478e+15|3.5|sell|real", "2.0|1.0e-08|none|real"));
  EXPECT_THAT(sql("SELECT id, name, last_sequence FROM publishers"), ElementsAre("1|matching|2"));
}

// A user's schema: names that differ in case alone, that are the places' own, and what has no column of its own.
TEST_F(ExportTest, every_kind_of_column_has_its_place) {
  const auto fills = keep(
      "attribute \"decimal\"; table Leg { id:int; } union Extra { Leg } table Fill { sequence:int; Size:int; size:int; "
      "legs:[Leg]; extra:Extra; maybe:int = null; ok:bool; ratio:double; limit:long (decimal: \"scale\"); scale:ubyte; "
      "}");
  add(*fills, {R"({"sequence":7,"Size":1,"size":2,"legs":[{"id":3}],"extra_type":"Leg","extra":{"id":4},"ok":true,)"
               R"("ratio":"nan","limit":"1.50"})",
               "{}"});
  ASSERT_EQ(run("csv"), Exit::ok) << errors_;
  EXPECT_EQ(lines()[0],
            "offset,record_time,publisher,log_sequence,sequence,Size,size,legs,extra_type,extra,maybe,ok,ratio,limit");
  EXPECT_THAT(lines()[1], HasSubstr(R"(,1,1,7,1,2,"[{""id"":3}]",Leg,"{""id"":4}",,true,nan,1.50)"));
  ASSERT_EQ(run("sqlite", {}, true), Exit::ok) << errors_;
  EXPECT_THAT(
      sql(R"(SELECT log_sequence, sequence, Size, size_, legs, extra_type, extra, maybe, ok, ratio, "limit" FROM fills)"),
      ElementsAre(R"(1|7|1|2|[{"id":3}]|Leg|{"id":4}|NULL|1|NULL|1.5)", "2|0|0|0|NULL|NONE|NULL|NULL|0|0.0|0.0"));
}

TEST_F(ExportTest, events_of_several_schemas_are_each_read_by_their_own) {
  add(*keep("table Fill { size:int; note:string; }"), {R"({"size":5,"note":"a"})"});
  add(*keep("table Fill { quantity:int; note:string; venue:short = 3; }"), {R"({"quantity":7})"});
  ASSERT_EQ(run("csv"), Exit::ok) << errors_;
  EXPECT_THAT(lines(),
              ElementsAre("offset,record_time,publisher,sequence,quantity,note,venue,size",
                          "0,2023-11-14T22:13:20.000000000Z,1,1,,a,,5", "1,2023-11-14T22:13:21.000000000Z,1,2,7,,3,"));
  ASSERT_EQ(run("sqlite", {}, true), Exit::ok) << errors_;
  EXPECT_THAT(sql("SELECT offset, size, quantity, note, venue FROM fills"),
              ElementsAre("0|5|NULL|a|NULL", "1|NULL|7|NULL|3"));
  const auto dumped = printed([&](Output& output) { return wal_dump({.choice = {.log = log()}}, output); });
  EXPECT_THAT(dumped[0], HasSubstr(R"("event":{"size":5,"note":"a"})"));
  EXPECT_THAT(dumped[1], HasSubstr(R"("event":{"quantity":7,"venue":3})"));
  // A filter on a field that only the newer one has; one that none has.
  ASSERT_EQ(run("ndjson", {.filters = {"venue=3"}}, true), Exit::ok) << errors_;
  EXPECT_EQ(lines().size(), 1u);
  const auto replay =
      historical::Replay::open({{.log = historical::log_folder(log()), .filters = {"venue=3"}}}).value();
  std::vector<Offset> replayed;
  while (!replay->ended() && !replay->error()) {
    replay->poll([&](const Event& event, std::size_t) { replayed.push_back(*event.offset); });
  }
  EXPECT_THAT(replayed, ElementsAre(Offset(1))) << "as dump and export have it";
  EXPECT_EQ(run("ndjson", {.filters = {"colour=red"}}, true), Exit::usage);
  EXPECT_THAT(errors_, HasSubstr("colour"));
}

TEST_F(ExportTest, the_newest_schema_of_a_log_that_is_gone_is_asked_for) {
  add_trades(1);
  const auto older = Registry::make_kept("trade_events", EventTypeId{1}, type("orders").bfbs(), "", "", "test").value();
  ASSERT_TRUE(keep_schema(wal::posix_file_system(), log(), *older, Offset(0)));
  for (const char* const ending : {".bfbs", ".names"}) {
    std::filesystem::rename(log() + "/trade_events" + ending,
                            log() + "/trade_events-until-" + std::string(20, '0') + ending);
  }
  EXPECT_EQ(run("csv"), Exit::usage);
  EXPECT_THAT(errors_, HasSubstr("(trade_events.bfbs): restore it from a copy"));
  EXPECT_FALSE(is_there(out()));
}

TEST_F(ExportTest, ranges_and_filters_choose) {
  add_trades(10);
  add_trades(10);
  const auto rows = [&](LogRange range) {
    EXPECT_EQ(run("csv", std::move(range), true), Exit::ok) << errors_;
    std::vector<std::string> offsets;
    for (const std::string& line : lines()) offsets.push_back(line.substr(0, line.find(',')));
    offsets.erase(offsets.begin());
    return offsets;
  };
  EXPECT_THAT(rows({.from = "8", .to = "12"}), ElementsAre("8", "9", "10", "11"));
  EXPECT_EQ(rows({.from = "2023-11-14T22:13:21Z"}).front(), "10");
  EXPECT_EQ(rows({.to = "2023-11-14T22:13:21Z"}).back(), "9");
  EXPECT_THAT(rows({.from = "15", .filters = {"instrument=ODD"}}), ElementsAre("15", "17", "19"));
  EXPECT_THAT(rows({.filters = {"trade_id=T,3", "trade_id=T,4"}}), ElementsAre("3", "4"));
  EXPECT_THAT(rows({.from = "3", .limit = 2}), ElementsAre("3", "4"));
  EXPECT_TRUE(rows({.from = "20"}).empty());
}

TEST_F(ExportTest, a_range_that_makes_no_sense_is_refused_and_leaves_no_file) {
  add_trades(10);
  for (const auto& [range, error] : std::vector<std::pair<LogRange, std::string>>{
           {{.from = "5", .to = "3"}, "offsets 5 to 3: reversed"},
           {{.from = "11"}, "offset 11 is beyond the end: the log ends at 10"},
           {{.to = "11"}, "offset 11, is not there yet: the log ends at 10"},
           {{.from = "2024-01-01T00:00:00Z", .to = "2023-01-01T00:00:00Z"}, "reversed; give the earlier one first"},
           {{.from = "5", .to = "2023-11-14T22:13:20Z"}, "begins at offset 5 and ends before offset 0: reversed"},
           {{.from = "2024-01-01T00:00:00Z"}, "nothing was recorded at 2024-01-01T00:00:00.000000000Z or later"},
           {{.from = "yesterday"}, "no place to begin"},
           {{.from = "latest"}, "begin at earliest, an offset or a time"},
           {{.to = "latest"}, "no place to end"},
           {{.filters = {"colour"}}, "field=value"}}) {
    EXPECT_EQ(run("csv", range), Exit::usage) << error;
    EXPECT_THAT(errors_, HasSubstr(error));
    EXPECT_FALSE(is_there(out()) || is_there(out() + ".partial"));
  }
}

// Before the first event of the range stands a batch whose header is bad, and behind it batches that are too early.
TEST_F(ExportTest, a_range_begins_at_its_time_whatever_is_bad_before_it) {
  for (int i = 0; i < 10; ++i) add_trades(3);
  const std::string path =
      log() + "/" + wal::to_file_name(wal::list_chain(wal::posix_file_system(), log())->at(0).name);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  std::size_t batch = wal::header_alignment;
  for (int i = 0; i < 4; ++i) batch = bytes.find("MLWB", batch + 1);  // the grant's comes first
  ASSERT_NE(batch, std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(batch));
  file.put('X');
  file.close();
  ASSERT_EQ(run("csv", {.from = "2023-11-14T22:13:27Z"}), Exit::ok) << errors_;
  ASSERT_EQ(lines().size(), 1u + 9u);
  EXPECT_THAT(lines()[1], ::testing::StartsWith("21,2023-11-14T22:13:27."));
  EXPECT_EQ(run("csv", {}, true), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("corrupt"));
  EXPECT_EQ(lines().size(), 1u + 27u);
}

TEST_F(ExportTest, an_end_that_is_deleted_is_refused) {
  for (int i = 0; i < 10; ++i) add_trades(100);
  ASSERT_TRUE(writer_->retain(1));
  ASSERT_GT(writer_->first_offset(), Offset(5));
  EXPECT_EQ(run("csv", {.to = "5"}), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("all before offset 5 is deleted"));
  EXPECT_FALSE(is_there(out()));
}

TEST_F(ExportTest, what_retention_deletes_meanwhile_is_said_and_the_rest_is_given) {
  for (int i = 0; i < 10; ++i) add_trades(100);
  auto scan = LogScan::open({.log = log()}, {.from = "2023-11-14T22:13:20Z"});
  ASSERT_TRUE(scan) << scan.error().message;
  EXPECT_EQ(scan->look(Offset(500)).total, 1'000u);
  std::vector<std::uint64_t> offsets;
  ::testing::internal::CaptureStderr();
  const auto result = scan->run(
      [&](const Event& event, const EventType* type) {
        EXPECT_NE(type, nullptr);
        if (offsets.empty()) {
          EXPECT_TRUE(writer_->retain(1));
        }
        offsets.push_back(event.offset->value());
        return true;
      },
      [](Offset) { return true; });
  errors_ = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(*result, Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("is deleted; the first there is: "));
  const std::uint64_t first = writer_->first_offset().value();
  ASSERT_GT(first, 200u);
  std::vector<std::uint64_t> wanted;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    if (i < 100 || i >= first) wanted.push_back(i);
  }
  EXPECT_EQ(offsets, wanted);
}

TEST_F(ExportTest, what_ends_before_the_end_leaves_no_file) {
  for (int i = 0; i < 10; ++i) add_trades(100);
  const auto chain = wal::list_chain(wal::posix_file_system(), log()).value();
  ASSERT_GT(chain.size(), 6u);
  std::fstream file(log() + "/" + wal::to_file_name(chain[4].name), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4);
  file.put(7);  // a later format, whose checksums are made otherwise
  file.seekp(20);
  file.put(1);
  file.close();
  EXPECT_EQ(run("csv"), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("has format version 7"));
  EXPECT_FALSE(is_there(out()) || is_there(out() + ".partial"));
}

TEST_F(ExportTest, a_file_is_replaced_only_by_force) {
  add_trades(1);
  std::ofstream(out()) << "mine";
  EXPECT_EQ(run("csv"), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("already; --force replaces it"));
  EXPECT_THAT(lines(), ElementsAre("mine"));
  std::ofstream(out() + ".partial") << "left by one that died";
  EXPECT_EQ(run("csv", {}, true), Exit::ok) << errors_;
  EXPECT_EQ(lines().size(), 2u);
  EXPECT_FALSE(is_there(out() + ".partial"));
}

TEST_F(ExportTest, one_file_is_made_by_one_process) {
  add_trades(1);
  auto other = PartialFile::create(out(), false);
  ASSERT_TRUE(other);
  EXPECT_EQ(run("csv"), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("another process is making"));
  ASSERT_TRUE(other->write("theirs"));
  ASSERT_TRUE(other->commit());
  EXPECT_THAT(lines(), ElementsAre("theirs"));
}

// The file system's end is the process's limit here: a write beyond it fails, as on a full disk.
TEST_F(ExportTest, a_write_that_fails_leaves_no_file_and_says_why) {
  for (int i = 0; i < 100; ++i) add_trades(100);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  for (const char* const format : {"csv", "ndjson", "sqlite"}) {
    const rlimit small{100'000, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const Exit result = run(format);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(result, Exit::failed) << format;
    EXPECT_THAT(errors_, HasSubstr("cannot write " + out() + ".partial"));
    EXPECT_FALSE(is_there(out()) || is_there(out() + ".partial")) << format;
  }
  const Error full = cannot_write("out.partial", ENOSPC).value();
  EXPECT_EQ(full.code, ErrorCode::no_space);
  EXPECT_THAT(full.message, HasSubstr("Free some space, name a file on another disk"));
}

TEST_F(ExportTest, events_that_cannot_be_read_are_counted_and_the_exit_says_so) {
  add_trades(2);
  const auto fills = Registry::make_kept("fills", EventTypeId{1000}, type("orders").bfbs(), "", "", "test").value();
  add(*fills, {"{}"});
  EXPECT_EQ(run("csv"), Exit::failed);
  EXPECT_THAT(errors_, HasSubstr("1 events were left out: event type 1000: "));
  EXPECT_EQ(lines().size(), 3u);
}

TEST_F(ExportTest, stat_tells_by_the_headers_what_is_there) {
  add_trades(100);
  add_trades(100);
  ASSERT_TRUE(writer_->append_gap(wal::testing::publisher, Sequence(201), Sequence(210), 0,
                                  WallTime{first_time + 2'000'000'000}));
  ASSERT_TRUE(writer_->sync());
  const auto stat = [&](bool full, bool json) {
    return printed(
        [&](Output& output) { return wal_stat({.choice = {.log = log()}, .full = full, .json = json}, output); });
  };
  const auto quick = stat(false, true);
  ASSERT_EQ(quick.size(), 1u);
  EXPECT_THAT(quick[0],
              HasSubstr(R"("first_offset":0,"end_offset":200,"events":200,)"
                        R"("first_time":"2023-11-14T22:13:20.000000000Z","last_time":"2023-11-14T22:13:21.000000000Z",)"
                        R"("events_per_second":200.000000)"));
  EXPECT_THAT(quick[0], HasSubstr(R"("runs":[{"run":1,"first_offset":0}])"));
  EXPECT_THAT(quick[0], HasSubstr(R"("publishers":[{"id":1,"name":"matching","epoch":1,"last_sequence":210}])"));
  EXPECT_THAT(stat(true, true)[0], HasSubstr(R"("gaps":1,"missing":10,"types":[{"event_type":1,"name":"trade_events",)"
                                             R"("events":200,"payload_bytes":35200,"largest":176}])"));
  const auto text = stat(true, false);
  EXPECT_THAT(text, ::testing::Contains(HasSubstr("offsets    0 to before 200: 200 events in 4 batches")));
  EXPECT_THAT(text, ::testing::Contains(HasSubstr("gaps       1, of 10 events")));
  EXPECT_EQ(exit_, Exit::ok);
}

}  // namespace
}  // namespace millrace::cli
