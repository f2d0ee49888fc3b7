// Proves that a log's folder explains every event that was ever written to it: by the schema in force at the event's
// offset, whatever came after, and whether this build has another of the same type or none; and that a schema that is
// bad, or not there, is said so.
#include "bus/log_types.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "bus/base/temporary_folder.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace {
namespace {

using schemas::EventType;
using schemas::Registry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr EventTypeId fills{1000};

class LogTypesTest : public ::testing::Test {
 protected:
  // A type that another release of this program, or of a user's schema, had.
  std::unique_ptr<EventType> type(const std::string& table, const std::string& name = "fills", EventTypeId id = fills) {
    const std::string path = folder_.path() + "/source.fbs";
    std::ofstream(path) << "namespace desk;\n" << table << "\nroot_type Fill;\n";
    Registry scratch;
    const auto added = scratch.add_user_schema("scratch", EventTypeId{2000}, path, "", "");
    EXPECT_TRUE(added) << added.error().message;
    return Registry::make_kept(name, id, (*added)->bfbs(), "", "", "test").value();
  }
  void keep(const EventType& type, std::uint64_t next) {
    const Status kept = keep_schema(wal::posix_file_system(), log(), type, Offset(next));
    ASSERT_TRUE(kept) << kept.error().message;
  }
  [[nodiscard]] std::string log() const { return folder_.path() + "/log"; }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> bfbs;
    const auto all = wal::posix_file_system().list(log());
    for (const std::string& each : all.value()) {
      if (each.ends_with(".bfbs")) bfbs.push_back(each);
    }
    return bfbs;
  }
  // What the folder says of an event.
  std::string shown(std::span<const std::byte> payload, std::uint64_t offset, EventTypeId id = fills) {
    LogTypes types(log(), "");
    const EventType* const found = types.find(id, Offset(offset));
    return found == nullptr ? "nothing: " + types.problem() : found->to_json(payload).value_or("invalid");
  }

  void SetUp() override { std::filesystem::create_directory(log()); }
  TemporaryFolder folder_;
};

TEST_F(LogTypesTest, each_event_is_shown_by_the_schema_it_was_written_by) {
  const auto first = type("table Fill { size:int; note:string; }");
  const auto second = type("table Fill { quantity:int; note:string; venue:short = 3; }");
  const auto third = type("table Fill { quantity:int; note:string; venue:short = 4; }");
  const auto old_event = first->from_json(R"({"size":5,"note":"a"})").value();
  const auto new_event = second->from_json(R"({"quantity":7})").value();
  keep(*first, 0);
  keep(*first, 10);  // a restart that changed nothing
  EXPECT_THAT(files(), ElementsAre("fills.bfbs"));
  keep(*second, 20);
  keep(*third, 30);
  EXPECT_THAT(files(), ElementsAre("fills-until-00000000000000000020.bfbs", "fills-until-00000000000000000030.bfbs",
                                   "fills.bfbs"));
  EXPECT_EQ(shown(old_event, 0), R"({"size":5,"note":"a"})");
  EXPECT_EQ(shown(old_event, 19), R"({"size":5,"note":"a"})");
  EXPECT_EQ(shown(new_event, 20), R"({"quantity":7,"venue":3})");
  EXPECT_EQ(shown(new_event, 29), R"({"quantity":7,"venue":3})");
  EXPECT_EQ(shown(new_event, 30), R"({"quantity":7,"venue":4})");

  LogTypes types(log(), "");  // one after the other, and back
  const auto* at_25 = types.find(fills, Offset(25));
  EXPECT_NE(types.find(fills, Offset(5)), at_25);
  EXPECT_EQ(types.find(fills, Offset(20)), at_25);
  EXPECT_EQ(types.find(fills), types.find(fills, Offset(30)));
  EXPECT_EQ(types.all(fills).size(), 3u);
  EXPECT_EQ(types.all(fills)[1], at_25);
}

TEST_F(LogTypesTest, a_schema_that_never_had_an_event_is_not_kept) {
  keep(*type("table Fill { a:int; }"), 0);
  keep(*type("table Fill { b:int; }"), 0);
  EXPECT_THAT(files(), ElementsAre("fills.bfbs"));
  keep(*type("table Fill { c:int; }"), 8);
  keep(*type("table Fill { d:int; }"), 8);
  EXPECT_THAT(files(), ElementsAre("fills-until-00000000000000000008.bfbs", "fills.bfbs"));
  LogTypes types(log(), "");
  const auto event = type("table Fill { b:int; }")->from_json(R"({"b":1})").value();
  EXPECT_EQ(types.find(fills, Offset(7))->to_json(event).value(), R"({"b":1})");
  EXPECT_EQ(types.find(fills, Offset(8))->to_json(event).value(), R"({"d":1})");
}

TEST_F(LogTypesTest, another_root_table_is_another_schema) {
  const auto both = type("table Other { x:int; } table Fill { y:int; }");
  keep(*both, 0);
  const auto other = Registry::make_kept("fills", fills, both->bfbs(), "desk.Other", "", "test").value();
  keep(*other, 4);
  LogTypes types(log(), "");
  EXPECT_EQ(types.find(fills, Offset(3))->root(), "desk.Fill");
  EXPECT_EQ(types.find(fills, Offset(4))->root(), "desk.Other");
}

// As a log has it that another version of this program wrote: the released schemas never lose a field, but theirs may
// have fewer, or more.
TEST_F(LogTypesTest, a_built_in_type_is_read_by_the_schema_that_the_log_kept) {
  const Registry built_in = Registry::built_in();
  const EventType& trades = *built_in.find("trade_events");
  const auto event = trades.from_json(R"({"trade_id":"T-1","price":"1.5"})").value();
  const auto older =
      type("struct Text40 { bytes:[ubyte:40]; } table Fill { label:Text40; }", "trade_events", trades.id());
  EXPECT_EQ(shown(event, 0, trades.id()), trades.to_json(event).value()) << "without one, by this build's";
  keep(*older, 0);
  keep(trades, 100);
  EXPECT_THAT(shown(older->from_json(R"({"label":[84,45,49]})").value(), 99, trades.id()),
              HasSubstr(R"("label":[84,45,49,)"));
  EXPECT_EQ(shown(event, 100, trades.id()), trades.to_json(event).value());
}

TEST_F(LogTypesTest, a_type_that_this_build_does_not_know_is_found_by_its_number) {
  const auto newer = type("table Fill { z:int; }", "auctions", EventTypeId{77});
  keep(*newer, 0);
  keep(*type("table Fill { a:int; }"), 0);
  EXPECT_EQ(shown(newer->from_json(R"({"z":1})").value(), 0, EventTypeId{77}), R"({"z":1})");
  EXPECT_THAT(shown({}, 0, EventTypeId{78}), HasSubstr("event type 78: "));
}

TEST_F(LogTypesTest, a_log_of_version_1_0_has_no_numbers_and_one_users_type) {
  const auto fill = type("table Fill { a:int; }");
  keep(*fill, 0);
  std::ofstream(log() + "/fills.names") << "root desk.Fill\n";
  EXPECT_EQ(shown(fill->from_json(R"({"a":2})").value(), 0), R"({"a":2})");
  std::ofstream(log() + "/other.bfbs") << "x";
  EXPECT_THAT(shown({}, 0), HasSubstr("holds 2 schemas (*.bfbs) that could be its, one is wanted"));
}

TEST_F(LogTypesTest, a_schema_that_is_none_is_said_so) {
  const Registry built_in = Registry::built_in();
  keep(*built_in.find("trade_events"), 0);
  const auto whole = std::string(reinterpret_cast<const char*>(built_in.find("trade_events")->bfbs().data()), 300);
  for (const std::string& bad : {std::string(), std::string(400, 'x'), whole}) {
    std::ofstream(log() + "/trade_events.bfbs", std::ios::binary) << bad;
    EXPECT_THAT(shown({}, 0, EventTypeId{1}), HasSubstr("trade_events.bfbs: not a binary FlatBuffers schema"));
  }
}

}  // namespace
}  // namespace millrace
