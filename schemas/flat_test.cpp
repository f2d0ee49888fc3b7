// Proves that an event of any type becomes a row: which columns a schema opens out to, what stands in them (defaults,
// what is not there, what the schema does not know), and that its CSV is read back as it was meant.
#include "schemas/flat.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "schemas/registry.hpp"

namespace millrace::schemas {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

const std::string testdata = MILLRACE_SCHEMAS_TESTDATA;

std::vector<std::string> names_of(const FlatType& flat) {
  std::vector<std::string> names;
  for (const FlatColumn& column : flat.columns()) names.push_back(column.name);
  return names;
}

std::string csv(const EventType& type, std::string_view json) {
  const auto event = type.from_json(json);
  if (!event) return event.error().message;
  EXPECT_TRUE(type.verify(*event));
  std::string out;
  FlatType(type).append_csv(*event, out);
  return out;
}

class Flat : public testing::Test {
 protected:
  const EventType& user(const std::string& file) {
    const auto added = registry_.add_user_schema(file, EventTypeId{1000}, testdata + '/' + file, "", "");
    EXPECT_TRUE(added) << added.error().message;
    return **added;
  }

  Registry registry_ = Registry::built_in();
};

TEST_F(Flat, a_trade_has_a_column_a_field_and_none_for_the_scales) {
  const EventType& trades = *registry_.find("trade_events");
  const FlatType flat(trades);
  std::string names;
  flat.append_csv_names(names);
  EXPECT_EQ(names,
            "trade_id,buy_order_id,sell_order_id,instrument,price,quantity,aggressor,buyer_account,seller_account,"
            "match_time");
  EXPECT_EQ(csv(trades, R"({"trade_id":"T-1","buy_order_id":"18446744073709551615","instrument":"600519",)"
                        R"("price":"-1808.080","quantity":"300","aggressor":"sell","match_time":"-1"})"),
            R"(T-1,18446744073709551615,0,600519,-1808.080,300,sell,"","",-1)");
  const FlatColumn& price = flat.columns()[4];
  EXPECT_EQ(price.kind, FlatKind::decimal);
  EXPECT_EQ(price.scale_name, "price_scale");
}

TEST_F(Flat, the_levels_of_a_book_are_columns_of_their_own) {
  const EventType& books = *registry_.find("market_l2");
  const FlatType flat(books);
  const auto names = names_of(flat);
  ASSERT_EQ(names.size(), 1 + 40 + 7);
  EXPECT_THAT(std::vector(names.begin(), names.begin() + 4),
              ElementsAre("instrument", "bids.0.price", "bids.0.quantity", "bids.1.price"));
  EXPECT_EQ(names[40], "asks.9.quantity");
  const std::string row =
      csv(books, R"({"instrument":"M","bids":[{"price":"1.50","quantity":"2"}],"phase":"auction"})");
  EXPECT_TRUE(row.starts_with("M,1.50,2,0.00,0,")) << row;
  EXPECT_EQ(std::ranges::count(row, ','), 47);
}

// A user's schema may hold what a row has no fixed number of columns for.
TEST_F(Flat, vectors_and_unions_are_json_and_what_is_not_there_is_nothing) {
  const EventType& user = this->user("user.fbs");
  const FlatType flat(user);
  EXPECT_THAT(names_of(flat), ElementsAre("name", "code", "colour", "legs", "tags", "counts", "colours", "points",
                                          "rungs", "limit", "extra_type", "extra", "maybe", "on", "big", "weight"));
  EXPECT_EQ(csv(user, "{}"), ",,blue,,,,,,,0.00,NONE,,,true,0,0");
  EXPECT_EQ(
      csv(user, R"({"name":"a,b","code":"","colour":9,"legs":[{"symbol":"x\"y"}],"tags":[],"counts":["1"],)"
                R"("points":[{"x":1.5,"y":-0.1,"tag":[1,-2,3]}],"rungs":[{"price":"1.250","size":4}],"limit":"9",)"
                R"("extra_type":"Circle","extra":{"radius":2},"maybe":0,"on":false,"weight":0.1})"),
      R"("a,b","",9,"[{""symbol"":""x\""y"",""ratio"":1}]",[],"[""1""]",,"[{""x"":1.5,""y"":-0.1,""tag"":[1,-2,3]}]",)"
      R"("[{""price"":""1.250"",""size"":4}]",9.000,Circle,"{""radius"":2}",0,false,0,0.1)");
  EXPECT_EQ(csv(user, R"({"extra_type":"plain","extra":"hi"})"), R"(,,blue,,,,,,,0.00,plain,"""hi""",,true,0,0)");
}

TEST_F(Flat, structs_arrays_and_nested_tables_open_out_as_far_as_that_has_an_end) {
  const EventType& flat = user("flat.fbs");
  EXPECT_THAT(
      names_of(FlatType(flat)),
      ElementsAreArray({"pair.code", "pair.rungs.0.price", "pair.rungs.0.size", "pair.rungs.1.price",
                        "pair.rungs.1.size", "pair.flags.0", "pair.flags.1", "many", "outer.inner.id",
                        "outer.inner.limit", "outer.inner.note", "outer.name", "chain", "single", "double", "small"}));
  EXPECT_EQ(FlatType(flat).columns()[1].scale_name, "scale");
  EXPECT_EQ(FlatType(flat).columns()[9].scale_name, "outer.inner.scale");
  EXPECT_EQ(csv(flat, "{}"), ",,,,,,,,,,,,,0.1,0,-5");
  // A table that is there has its defaults.
  EXPECT_EQ(csv(flat, R"({"outer":{"inner":{}}})"), ",,,,,,,,0,15.0,,,,0.1,0,-5");
  EXPECT_EQ(csv(flat, R"({"pair":{"code":"AB","rungs":[{"price":"1.5","size":3},{"price":"-2"}],"flags":[true]},)"
                      R"("outer":{"name":"n","inner":{"id":"5","limit":"2.25","note":""}},)"
                      R"("chain":{"next":{"value":8}},"single":-0.5,"double":"inf","small":127})"),
            R"(AB,1.5,3,-2.0,0,true,false,,5,2.25,"",n,"{""next"":{""value"":8},""value"":7}",-0.5,inf,127)");
  const std::string row = csv(flat, R"({"many":[1,2]})");
  EXPECT_THAT(row, testing::HasSubstr(R"("[1,2,0,0,)"));
}

TEST(FlatCsv, a_text_is_quoted_where_it_must_be_and_is_always_utf8) {
  const auto field = [](std::string_view text) {
    std::string out;
    append_csv_text(text, out);
    return out;
  };
  EXPECT_EQ(field("plain text; 1.5"), "plain text; 1.5");
  EXPECT_EQ(field(""), R"("")");
  EXPECT_EQ(field("a,b"), R"("a,b")");
  EXPECT_EQ(field("say \"hi\""), R"("say ""hi""")");
  EXPECT_EQ(field("a\r\nb"), "\"a\r\nb\"");
  EXPECT_EQ(field("\xe8\x8c\x85"), "\"\xe8\x8c\x85\"");
  EXPECT_EQ(field("\xff,"), "\"\xef\xbf\xbd,\"");
}

}  // namespace
}  // namespace millrace::schemas
