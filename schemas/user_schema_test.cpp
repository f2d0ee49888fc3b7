// Proves that a user's own schema, text or binary, is verified and goes through JSON and back with all that FlatBuffers
// offers (nested tables, strings, vectors, unions), and that a bad schema, root or key is refused with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "schemas/families.hpp"
#include "schemas/registry.hpp"
#include "schemas_testdata/user_generated.h"

namespace millrace::schemas {
namespace {

using testing::HasSubstr;

const std::string testdata = MILLRACE_SCHEMAS_TESTDATA;

constexpr std::string_view full =
    R"({"name":"butterfly \"x\"","code":"ABCDEFGH","colour":"red","legs":[{"symbol":"A","ratio":-2,)"
    R"("legs":[{"symbol":"","ratio":1}]},{"symbol":"B","ratio":1,"legs":[]}],"tags":["","two"],)"
    R"("counts":["-9223372036854775808","9223372036854775807"],"colours":["blue",3],)"
    R"("points":[{"x":1.5,"y":-0.1,"tag":[1,-2,3]}],"rungs":[{"price":"1.250","size":4},{"price":"-2.000","size":5}],)"
    R"("limit":"99.999","extra_type":"where","extra":{"x":0,"y":"inf","tag":[0,0,0]},"maybe":0,"on":false,)"
    R"("big":"18446744073709551615","weight":3.25})";

class UserSchema : public testing::Test {
 protected:
  void SetUp() override {
    auto added = registry_.add_user_schema("strategies", EventTypeId{1000}, testdata + "/user.fbs", "", "");
    ASSERT_TRUE(added) << added.error().message;
    type_ = *added;
  }

  std::string round_trip(std::string_view json) {
    auto event = type_->from_json(json);
    if (!event) return event.error().message;
    EXPECT_EQ(event->size() % 8, 0u);
    auto shown = type_->to_json(*event);
    return shown ? *shown : shown.error().message;
  }

  std::string error_of(const Result<const EventType*>& added) { return added ? "accepted" : added.error().message; }

  Registry registry_ = Registry::built_in();
  const EventType* type_ = nullptr;
};

TEST_F(UserSchema, goes_through_json_and_back_with_every_kind_of_field) {
  EXPECT_EQ(round_trip(full), full);
}

TEST_F(UserSchema, an_event_from_json_is_what_generated_code_reads) {
  const auto event = type_->from_json(full).value();
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(event.data()), event.size());
  ASSERT_TRUE(user::VerifyStrategyBuffer(verifier));
  const auto* strategy = user::GetStrategy(event.data());
  EXPECT_EQ(strategy->name()->str(), "butterfly \"x\"");
  EXPECT_EQ(text(strategy->code()), "ABCDEFGH");
  EXPECT_EQ(strategy->legs()->Get(0)->legs()->Get(0)->symbol()->str(), "");
  EXPECT_EQ(strategy->points()->Get(0)->tag()->Get(1), -2);
  EXPECT_EQ(strategy->rungs()->Get(1)->price(), -2000);
  EXPECT_EQ(strategy->limit(), 99'999);
  EXPECT_EQ(strategy->scale(), 3);
  EXPECT_EQ(strategy->extra_as_where()->x(), 0.0F);
  EXPECT_EQ(strategy->maybe().value(), 0);
  EXPECT_FALSE(strategy->on());
}

TEST_F(UserSchema, fields_left_out_have_their_defaults_and_empty_ones_are_not_shown) {
  EXPECT_EQ(round_trip("{}"), R"({"colour":"blue","limit":"0.00","extra_type":"NONE","on":true,"big":"0","weight":0})");
}

TEST_F(UserSchema, each_member_of_a_union_round_trips) {
  const std::string rest = R"("on":true,"big":"0","weight":0})";
  for (const std::string_view extra :
       {R"("extra_type":"Circle","extra":{"radius":2.5})", R"("extra_type":"Note","extra":{})",
        R"("extra_type":"Note","extra":{"text":"hi"})", R"("extra_type":"plain","extra":"s")"}) {
    const std::string json = R"({"colour":"blue","limit":"0.00",)" + std::string(extra) + ',' + rest;
    EXPECT_EQ(round_trip(json), json);
  }
  EXPECT_THAT(round_trip(R"({"extra":{"radius":1}})"), HasSubstr("field 'extra' is a union; say which"));
  EXPECT_THAT(round_trip(R"({"extra_type":"NONE","extra":{}})"), HasSubstr("field 'extra' has a value"));
  EXPECT_THAT(round_trip(R"({"extra_type":"Circle","extra":{"radius":"x"}})"),
              HasSubstr("field 'extra.radius' wants a"));
}

TEST_F(UserSchema, errors_name_the_path_of_the_field) {
  EXPECT_THAT(round_trip(R"({"legs":[{"symbol":"A"},{"ratio":1}]})"), HasSubstr("field 'legs[1].symbol' is required"));
  EXPECT_THAT(round_trip(R"({"legs":[{"symbol":"A","ratio":3000000000}]})"),
              HasSubstr("'legs[0].ratio' is 3000000000"));
  EXPECT_THAT(round_trip(R"({"points":[{"tag":[1,2,3,4]}]})"), HasSubstr("'points[0].tag' wants a list of at most 3"));
  EXPECT_THAT(round_trip(R"({"gone":1})"), HasSubstr("field 'gone' is not in user.Strategy"));
  EXPECT_THAT(round_trip(R"({"name":")" + std::string(100'000, 'x') + "\"}"), HasSubstr("fit a page"));
}

TEST_F(UserSchema, a_schema_from_its_binary_form_behaves_the_same) {
  const auto event = type_->from_json(full).value();
  Registry other = Registry::built_in();
  const auto* from_bytes = other.add_bfbs("strategies", EventTypeId{1000}, type_->bfbs(), "", "").value();
  EXPECT_EQ(from_bytes->to_json(event).value(), full);
  EXPECT_EQ(from_bytes->key_field(), "name");

  Registry third = Registry::built_in();
  const auto* from_flatc =
      third.add_user_schema("s", EventTypeId{1001}, MILLRACE_SCHEMAS_TESTDATA_BUILT "/user.bfbs", "user.Strategy", "")
          .value();
  EXPECT_EQ(from_flatc->from_json(full).value(), event);
}

TEST_F(UserSchema, key_and_root_may_be_named) {
  EXPECT_EQ(type_->key_text(type_->from_json(full).value()), "butterfly \"x\"");
  const auto* by_code =
      registry_.add_user_schema("by_code", EventTypeId{1001}, testdata + "/user.fbs", "Strategy", "code").value();
  EXPECT_EQ(by_code->key(by_code->from_json(full).value()), key_of("ABCDEFGH"));
  const auto* other =
      registry_.add_user_schema("other", EventTypeId{1002}, testdata + "/user.fbs", "user.Other", "").value();
  EXPECT_EQ(other->key_text(other->from_json("{}").value()), std::nullopt);
  EXPECT_EQ(other->root(), "user.Other");
}

TEST_F(UserSchema, a_snapshot_key_of_several_fields_tells_all_their_values_apart) {
  const auto position = registry_.add_user_schema("positions", EventTypeId{2001}, testdata + "/positions.fbs", "", "");
  ASSERT_TRUE(position) << position.error().message;
  EXPECT_EQ((*position)->snapshot_fields(), "desk,book,kind,hedge");
  std::set<std::string> keys;
  std::size_t made = 0;
  for (const std::string desk : {"a", "ab", "a\\u0000b", "abc"}) {
    for (const std::string book : {"", "b", "bc", "\\u0000b", "1"}) {
      for (const std::string kind : {"0", "1", "11", "-1"}) {
        for (const std::string hedge : {"true", "false"}) {
          const auto event =
              (*position)->from_json(R"({"desk":")" + desk + R"(","book":")" + book + R"(","kind":)" + kind +
                                     R"(,"hedge":)" + hedge + R"(,"size":")" + std::to_string(made) + "\"}");
          ASSERT_TRUE(event) << event.error().message;
          std::string scratch;
          keys.emplace((*position)->snapshot_key(*event, scratch));
          ++made;
        }
      }
    }
  }
  EXPECT_EQ(keys.size(), made);
  std::string scratch;
  EXPECT_EQ((*position)->snapshot_key((*position)->from_json(R"({"book":"b"})").value(), scratch), "");
}

TEST_F(UserSchema, a_bad_schema_root_key_name_or_number_is_refused_with_the_reason) {
  const auto add = [&](const std::string& path, std::string_view root = "", std::string_view key = "") {
    return error_of(registry_.add_user_schema("new", EventTypeId{2000}, path, root, key));
  };
  EXPECT_THAT(add(testdata + "/absent.fbs"), HasSubstr("absent.fbs"));
  EXPECT_THAT(add(testdata + "/broken.fbs"), testing::AllOf(HasSubstr("broken.fbs:4"), HasSubstr("nosuch")));
  EXPECT_THAT(add(testdata + "/user.fbs", "Nothing"), HasSubstr("no table 'Nothing'; it has "));
  EXPECT_THAT(add(testdata + "/user.fbs", "Rung"), HasSubstr("is a struct"));
  EXPECT_THAT(add(testdata + "/snapshot_without_key.fbs"), HasSubstr("mark one event_key"));
  EXPECT_THAT(add(testdata + "/snapshot_vector.fbs"),
              HasSubstr("field 'counts' is marked snapshot_key, but is no text"));
  EXPECT_THAT(add(testdata + "/user.fbs", "", "nokey"), HasSubstr("the key field 'nokey' is not in user.Strategy"));
  EXPECT_THAT(add(testdata + "/user.fbs", "", "legs"), HasSubstr("must be a string or a text"));
  EXPECT_THAT(add(testdata + "/included.fbs"), HasSubstr("no root_type"));
  EXPECT_THAT(add(testdata + "/bad_decimal.fbs"), HasSubstr("field 'price' of Bad: (decimal)"));
  EXPECT_THAT(add(testdata + "/union_vector.fbs"), HasSubstr("vector of unions"));
  EXPECT_THAT(error_of(registry_.add_user_schema("strategies", EventTypeId{2000}, testdata + "/user.fbs", "", "")),
              HasSubstr("there is an event type 'strategies' already"));
  EXPECT_THAT(error_of(registry_.add_user_schema("n", EventTypeId{1}, testdata + "/user.fbs", "", "")),
              HasSubstr("event type 1 is trade_events"));
  EXPECT_THAT(error_of(registry_.add_user_schema("n", EventTypeId{999}, testdata + "/user.fbs", "", "")),
              HasSubstr("reserved; users' own begin at 1000"));
  const std::array<std::byte, 64> noise{};
  EXPECT_THAT(error_of(registry_.add_bfbs("n", EventTypeId{2000}, noise, "", "", "types/n.bfbs")),
              HasSubstr("types/n.bfbs: not a binary FlatBuffers schema"));
  EXPECT_THAT(error_of(registry_.add_bfbs("n", EventTypeId{2000}, {}, "", "")), HasSubstr("not a binary"));
}

}  // namespace
}  // namespace millrace::schemas
