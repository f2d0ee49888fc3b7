// Proves that built-in events keep their shape and size, are made in place with every field settable, pass their
// verifier, and go through JSON and back without losing a digit or a byte.
#include "schemas/registry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "schemas/event_template.hpp"
#include "schemas/market_l2.hpp"

namespace millrace::schemas {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// 8-byte aligned room, as in a page.
struct Room {
  alignas(8) std::array<std::byte, 1024> bytes{};
};

std::span<const std::byte> make_trade(Room& room) {
  static const EventTemplate<TradeEvent> trade;
  TradeEvent* event = trade.instantiate(room.bytes);
  set_text(event->mutable_trade_id(), "T-1");
  EXPECT_TRUE(event->mutate_buy_order_id(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_TRUE(event->mutate_sell_order_id(7));
  set_text(event->mutable_instrument(), "600519");
  EXPECT_TRUE(event->mutate_price(1'808'080));
  EXPECT_TRUE(event->mutate_quantity(300));
  EXPECT_TRUE(event->mutate_price_scale(3));
  EXPECT_TRUE(event->mutate_quantity_scale(0));
  EXPECT_TRUE(event->mutate_aggressor(Side::sell));
  set_text(event->mutable_buyer_account(), "alice");
  set_text(event->mutable_seller_account(), "bob");
  EXPECT_TRUE(event->mutate_match_time(1'675'733'100'123'456'789));
  return std::span(room.bytes).first(trade.size());
}

constexpr std::string_view trade_json =
    R"({"trade_id":"T-1","buy_order_id":"18446744073709551615","sell_order_id":"7","instrument":"600519",)"
    R"("price":"1808.080","quantity":"300","aggressor":"sell","buyer_account":"alice","seller_account":"bob",)"
    R"("match_time":"1675733100123456789"})";

class Families : public testing::Test {
 protected:
  const EventType& type(std::string_view name) {
    const EventType* found = registry_.find(name);
    EXPECT_NE(found, nullptr) << name;
    return *found;
  }

  Registry registry_ = Registry::built_in();
};

// Ids, names and sizes are on disk and in configurations: a change of one of these lines breaks them.
TEST_F(Families, have_the_ids_names_and_sizes_that_are_on_disk) {
  const std::vector<std::tuple<unsigned, std::string_view, std::string_view, std::size_t>> expected = {
      {1, "trade_events", "millrace.schemas.TradeEvent", 176},
      {2, "account_events", "millrace.schemas.AccountEvent", 192},
      {3, "market_l2", "millrace.schemas.MarketL2", 424},
      {4, "order_events", "millrace.schemas.OrderEvent", 168},
      {5, "system.health", "millrace.schemas.HealthEvent", 152},
      {6, "orders", "millrace.schemas.OrderCommand", 160},
      {7, "risk_alerts", "millrace.schemas.RiskAlert", 192},
  };
  ASSERT_EQ(registry_.all().size(), expected.size());
  for (const auto& [id, name, root, size] : expected) {
    EXPECT_EQ(static_cast<unsigned>(type(name).id()), id);
    EXPECT_EQ(type(name).root(), root);
    EXPECT_EQ(type(name).largest_size(), size) << name;
    EXPECT_EQ(registry_.find(EventTypeId(static_cast<std::uint16_t>(id))), &type(name));
    EXPECT_FALSE(type(name).bfbs().empty());
  }
  EXPECT_EQ(registry_.find("no_such"), nullptr);
  EXPECT_EQ(registry_.find(EventTypeId{999}), nullptr);
}

TEST_F(Families, a_trade_made_in_place_verifies_and_prints_every_field) {
  Room room;
  const auto trade = make_trade(room);
  EXPECT_TRUE(type("trade_events").verify(trade));
  EXPECT_EQ(type("trade_events").to_json(trade).value(), trade_json);
}

TEST_F(Families, from_json_gives_the_same_bytes_as_the_template) {
  Room room;
  const auto trade = make_trade(room);
  const auto built = type("trade_events").from_json(trade_json).value();
  EXPECT_THAT(built, testing::ElementsAreArray(trade));
}

TEST_F(Families, a_template_has_a_slot_for_every_field_of_every_family) {
  for (const EventType* each : registry_.all()) {
    const auto empty = each->from_json("{}").value();
    EXPECT_EQ(empty.size(), each->largest_size());
    EXPECT_TRUE(each->verify(empty));
    EXPECT_EQ(each->from_json(each->to_json(empty).value()).value(), empty) << each->name();
  }
}

TEST_F(Families, an_event_of_one_family_is_not_one_of_another) {
  for (const EventType* from : registry_.all())
    for (const EventType* to : registry_.all())
      EXPECT_EQ(to->verify(from->from_json("{}").value()), from == to) << from->name() << " as " << to->name();
}

TEST_F(Families, the_key_is_the_hash_of_instrument_account_or_name) {
  Room room;
  const auto trade = make_trade(room);
  EXPECT_EQ(type("trade_events").key_text(trade), "600519");
  EXPECT_EQ(type("trade_events").key(trade), key_of("600519"));
  EXPECT_EQ(type("trade_events").key(type("trade_events").from_json("{}").value()), Key(0));
  EXPECT_EQ(type("account_events").key_field(), "account");
  EXPECT_EQ(type("system.health").key_field(), "name");
}

TEST_F(Families, the_snapshot_key_is_what_an_event_is_the_newest_word_on) {
  std::string scratch, other;
  Room room;
  EXPECT_EQ(type("trade_events").snapshot_key(make_trade(room), scratch), "600519");
  EXPECT_EQ(type("trade_events").snapshot_fields(), "instrument");
  EXPECT_EQ(type("account_events").snapshot_fields(), "account,currency");
  EXPECT_EQ(type("system.health").snapshot_fields(), "name,subject,topic");
  const EventType& account = type("account_events");
  const auto key = [&](std::string_view json) {
    std::string room_of_key;
    return std::string(account.snapshot_key(account.from_json(json).value(), room_of_key));
  };
  const std::string dollars = key(R"({"account":"alice","currency":"USD","balance":"1"})");
  EXPECT_EQ(dollars, key(R"({"account":"alice","currency":"USD","balance":"2"})"));
  EXPECT_NE(dollars, key(R"({"account":"alice","currency":"EUR","balance":"1"})"));
  EXPECT_NE(dollars, key(R"({"account":"bob","currency":"USD","balance":"1"})"));
  EXPECT_NE(key(R"({"account":"ab","currency":"c"})"), key(R"({"account":"a","currency":"bc"})"));
  EXPECT_EQ(key(R"({"currency":"USD"})"), "") << "no account, no key";
  const EventType& health = type("system.health");
  const auto topic = health.from_json(R"({"subject":"topic","name":"orders"})").value();
  const auto publisher = health.from_json(R"({"subject":"publisher","name":"orders"})").value();
  EXPECT_NE(health.snapshot_key(topic, scratch), health.snapshot_key(publisher, other));
}

TEST_F(Families, filters_match_by_field_by_second_name_and_by_shown_value) {
  Room room;
  const auto trade = make_trade(room);
  const EventType& trades = type("trade_events");
  EXPECT_TRUE(trades.matches(trade, "instrument", "600519"));
  EXPECT_FALSE(trades.matches(trade, "instrument", "60051"));
  EXPECT_TRUE(trades.matches(trade, "account", "alice"));
  EXPECT_TRUE(trades.matches(trade, "account", "bob"));
  EXPECT_FALSE(trades.matches(trade, "buyer_account", "bob"));
  EXPECT_TRUE(trades.matches(trade, "aggressor", "sell"));
  EXPECT_TRUE(trades.matches(trade, "sell_order_id", "7"));
  EXPECT_FALSE(trades.matches(trade, "no_such", ""));
  EXPECT_FALSE(trades.matches(trade, "", ""));
  EXPECT_THAT(trades.filterable(), ElementsAre("trade_id", "buy_order_id", "sell_order_id", "instrument", "aggressor",
                                               "buyer_account", "account", "seller_account", "match_time"));
}

TEST_F(Families, money_keeps_sign_extremes_and_trailing_zeros) {
  const EventType& accounts = type("account_events");
  const std::string json =
      R"({"user_id":"","account":"a","currency":"EUR","balance":"-9223372036854775.808","available":"9223372036854775.807",)"
      R"("margin":"-0.001","reserved":"0.000","cause":"interest","cause_id":"","book_time":"-1"})";
  const auto event = accounts.from_json(json).value();
  EXPECT_EQ(flatbuffers::GetRoot<AccountEvent>(event.data())->balance(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(accounts.to_json(event).value(), json);
}

TEST_F(Families, decimals_that_share_a_scale_get_the_most_digits_of_any) {
  const EventType& accounts = type("account_events");
  const auto event = accounts.from_json(R"({"account":"a","balance":"1.5","available":2,"margin":"0.25"})").value();
  EXPECT_EQ(accounts.to_json(event).value(),
            R"({"user_id":"","account":"a","currency":"","balance":"1.50","available":"2.00","margin":"0.25",)"
            R"("reserved":"0.00","cause":"opened","cause_id":"","book_time":"0"})");
}

TEST_F(Families, levels_are_lists_and_short_lists_leave_the_rest_empty) {
  const EventType& books = type("market_l2");
  const auto event = books
                         .from_json(R"({"instrument":"X","bids":[{"price":"9.5","quantity":"3"}],)"
                                    R"("asks":[{"price":"10.25","quantity":"0.5"}]})")
                         .value();
  const auto* book = flatbuffers::GetRoot<MarketL2>(event.data());
  EXPECT_EQ(book->price_scale(), 2);
  EXPECT_EQ(book->bids()->levels()->Get(0)->price(), 950);
  EXPECT_EQ(book->bids()->levels()->Get(0)->quantity(), 30);
  EXPECT_EQ(book->asks()->levels()->Get(0)->price(), 1025);
  EXPECT_EQ(book->asks()->levels()->Get(9)->price(), 0);
  const std::string json = books.to_json(event).value();
  EXPECT_THAT(json, HasSubstr(R"("bids":[{"price":"9.50","quantity":"3.0"},{"price":"0.00","quantity":"0.0"},)"));
  EXPECT_EQ(books.from_json(json).value(), event);
}

// The value is written down, so that another implementation can check itself: 320 bytes, price then quantity.
TEST_F(Families, the_checksum_of_levels_is_as_documented) {
  const auto event = type("market_l2").from_json(R"({"bids":[{"price":"1","quantity":"2"}]})").value();
  const auto* book = flatbuffers::GetRoot<MarketL2>(event.data());
  std::array<std::uint8_t, 320> bytes{};
  bytes[0] = 1;
  bytes[8] = 2;
  EXPECT_EQ(levels_checksum(*book->bids(), *book->asks()),
            static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())));
  EXPECT_NE(levels_checksum(*book->bids(), *book->asks()), levels_checksum(*book->asks(), *book->bids()));
}

// Texts are written and read by words: every length, over what was there before, and bytes that look like zeros nearly.
template <class Text>
void expect_texts_of_every_length() {
  std::string all;
  for (std::size_t i = 0; i < sizeof(Text) + 3; ++i) all += "a\x01\x80\xff\x7f"[i % 5];
  for (std::size_t size = 0; size <= all.size(); ++size) {
    const std::string value = all.substr(all.size() - size);
    Text into;
    std::memset(static_cast<void*>(&into), 0xee, sizeof into);
    EXPECT_EQ(set_text(&into, value), size <= sizeof(Text));
    const std::string cut = value.substr(0, sizeof(Text));
    EXPECT_EQ(text(into), cut);
    const std::string padded = cut + std::string(sizeof(Text) - cut.size(), '\0');
    EXPECT_EQ(std::memcmp(&into, padded.data(), sizeof into), 0) << "zeros behind a text of " << size;
  }
  Text into;
  EXPECT_TRUE(set_text(&into, std::string_view()));
  EXPECT_EQ(text(into), "");
}
TEST_F(Families, texts_of_every_length_come_back_and_are_padded) {
  expect_texts_of_every_length<Text16>();
  expect_texts_of_every_length<Text32>();
  expect_texts_of_every_length<Text40>();
  expect_texts_of_every_length<Text48>();
}

TEST_F(Families, texts_are_cut_by_set_text_and_refused_by_from_json_when_too_long) {
  Text16 text16;
  EXPECT_TRUE(set_text(&text16, "0123456789abcdef"));
  EXPECT_EQ(text(text16), "0123456789abcdef");
  EXPECT_FALSE(set_text(&text16, "0123456789abcdefg"));
  EXPECT_EQ(text(text16), "0123456789abcdef");
  EXPECT_TRUE(set_text(&text16, "x"));
  EXPECT_EQ(text(text16), "x");
  EXPECT_EQ(text(static_cast<const Text16*>(nullptr)), "");
  EXPECT_EQ(type("trade_events").from_json(R"({"instrument":"0123456789abcdefg"})").error().message,
            "trade_events: field 'instrument' is 17 bytes, it may have 16");
}

TEST_F(Families, texts_with_quotes_controls_and_other_scripts_round_trip) {
  const EventType& trades = type("trade_events");
  const std::string json = R"({"trade_id":"a\"b\\c\nd\u0001\u007f","instrument":")"
                           "\xe8\x8c\x85\xe5\x8f\xb0"
                           R"("})";
  const auto event = trades.from_json(json).value();
  EXPECT_EQ(text(flatbuffers::GetRoot<TradeEvent>(event.data())->trade_id()), "a\"b\\c\nd\x01\x7f");
  const std::string shown = trades.to_json(event).value();
  EXPECT_THAT(shown, HasSubstr(R"("trade_id":"a\"b\\c\nd\u0001\u007f")"));
  EXPECT_THAT(shown, HasSubstr("\xe8\x8c\x85\xe5\x8f\xb0"));
  EXPECT_EQ(trades.from_json(shown).value(), event);
}

TEST_F(Families, bytes_that_are_not_utf8_are_shown_as_replacement_characters) {
  Room room;
  const auto trade = make_trade(room);
  auto* event = flatbuffers::GetMutableRoot<TradeEvent>(room.bytes.data());
  set_text(event->mutable_instrument(), "a\xff\xc0\xaf\xed\xa0\x80z");
  EXPECT_THAT(
      type("trade_events").to_json(trade).value(),
      HasSubstr("\"instrument\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\""));
}

TEST_F(Families, a_value_that_an_enum_does_not_know_is_shown_as_its_number) {
  Room room;
  const auto trade = make_trade(room);
  flatbuffers::GetMutableRoot<TradeEvent>(room.bytes.data())->mutate_aggressor(static_cast<Side>(200));
  const std::string json = type("trade_events").to_json(trade).value();
  EXPECT_THAT(json, HasSubstr(R"("aggressor":200)"));
  EXPECT_THAT(type("trade_events").from_json(json).value(), testing::ElementsAreArray(trade));
}

TEST_F(Families, a_scale_past_all_sense_still_round_trips) {
  Room room;
  const auto trade = make_trade(room);
  flatbuffers::GetMutableRoot<TradeEvent>(room.bytes.data())->mutate_price_scale(255);
  const std::string json = type("trade_events").to_json(trade).value();
  EXPECT_THAT(type("trade_events").from_json(json).value(), testing::ElementsAreArray(trade));
}

TEST_F(Families, errors_of_from_json_name_the_field_and_what_was_wrong) {
  const auto error = [&](std::string_view name, std::string_view json) {
    const auto event = type(name).from_json(json);
    return event ? "accepted: " + type(name).to_json(*event).value() : event.error().message;
  };
  EXPECT_EQ(error("trade_events", R"({"prize":1})"),
            "trade_events: field 'prize' is not in millrace.schemas.TradeEvent");
  EXPECT_THAT(error("trade_events", R"({"price":1808.08})"), HasSubstr("field 'price' wants a decimal"));
  EXPECT_THAT(error("trade_events", R"({"price":"1e3"})"), HasSubstr("field 'price' wants a decimal"));
  EXPECT_THAT(error("trade_events", R"({"price":"9223372036854775808"})"), HasSubstr("field 'price' wants a decimal"));
  EXPECT_THAT(error("account_events", R"({"balance":"9223372036854775807","margin":"0.1"})"),
              HasSubstr("field 'balance' is \"9223372036854775807\", too large"));
  EXPECT_THAT(error("trade_events", R"({"price_scale":3})"), HasSubstr("'price_scale' is not given by itself"));
  EXPECT_THAT(error("trade_events", R"({"aggressor":"byu"})"),
              HasSubstr("field 'aggressor' is \"byu\"; it may be none, buy, sell"));
  EXPECT_THAT(error("trade_events", R"({"aggressor":256})"), HasSubstr("field 'aggressor' is 256"));
  EXPECT_THAT(error("trade_events", R"({"buy_order_id":-1})"), HasSubstr("field 'buy_order_id' is -1"));
  EXPECT_THAT(error("trade_events", R"({"buy_order_id":"18446744073709551616"})"), HasSubstr("'buy_order_id'"));
  EXPECT_THAT(error("trade_events", R"({"instrument":5})"), HasSubstr("field 'instrument' wants a string, not 5"));
  EXPECT_THAT(error("trade_events", R"({"instrument":"a\u0000b"})"), HasSubstr("field 'instrument' has a zero byte"));
  EXPECT_THAT(error("orders", R"({"post_only":1})"), HasSubstr("field 'post_only' wants true or false"));
  EXPECT_THAT(error("market_l2", R"({"bids":[{"price":"1","size":2}]})"), HasSubstr("field 'bids[0].size' is not in"));
  EXPECT_THAT(error("market_l2", R"({"bids":[1]})"), HasSubstr("field 'bids[0]' wants an object"));
  EXPECT_THAT(error("market_l2", R"({"bids":[{},{},{},{},{},{},{},{},{},{},{}]})"), HasSubstr("at most 10"));
  EXPECT_THAT(error("trade_events", R"({"price":"1","price":"2"})"), HasSubstr("duplicate keys"));
  for (const std::string_view bad :
       {"", "{", "[]", "null", "1", "\"x\"", "{\"price\":}", "{} {}", "{\"price\":\"1\",}", "{}]", "{}}"})
    EXPECT_THAT(error("trade_events", bad), HasSubstr("the event ")) << bad;
  EXPECT_THAT(error("trade_events", "{\"price\":" + std::string(100'000, '[') + "}"), HasSubstr("is not JSON"));
}

}  // namespace
}  // namespace millrace::schemas
