#include "publishers/market/json.hpp"

#include <boost/json.hpp>
#include <chrono>

#include "publishers/market/decimal.hpp"

namespace millrace::market {
namespace json = boost::json;
namespace {

[[noreturn]] void malformed(std::string message) {
  throw Malformed{std::move(message)};
}

template <class T>
T or_throw(Result<T> result) {
  if (!result) throw Malformed{std::move(result).error().message};
  return *std::move(result);
}

}  // namespace

const json::value& JsonParser::parse(std::string_view text) {
  document_.reset();  // before its arena
  arena_.emplace(memory_.data(), memory_.size());
  json::error_code error;
  document_.emplace(json::parse({text.data(), text.size()}, error, &*arena_));
  if (error) malformed("the text is not JSON: " + error.message());
  return *document_;
}

const json::object& as_object(const json::value& value, std::string_view what) {
  const auto* object = value.if_object();
  if (object == nullptr) malformed(std::string(what) + " is not an object");
  return *object;
}

const json::array& as_array(const json::value& value, std::string_view what) {
  const auto* array = value.if_array();
  if (array == nullptr) malformed(std::string(what) + " is not an array");
  return *array;
}

std::string_view as_text(const json::value& value, std::string_view what) {
  const auto* text = value.if_string();
  if (text == nullptr) malformed(std::string(what) + " is not a string");
  return {text->data(), text->size()};
}

std::uint64_t as_number(const json::value& value, std::string_view what) {
  if (const auto* number = value.if_uint64()) return *number;
  const auto* number = value.if_int64();
  if (number == nullptr || *number < 0) malformed(std::string(what) + " is not a whole number from 0 up");
  return static_cast<std::uint64_t>(*number);
}

const json::value& member(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains({key.data(), key.size()});
  if (value == nullptr) malformed("'" + std::string(key) + "' is missing");
  return *value;
}

std::string_view text_member(const json::object& object, std::string_view key) {
  return as_text(member(object, key), key);
}

std::uint64_t number_member(const json::object& object, std::string_view key) {
  return as_number(member(object, key), key);
}

bool bool_member(const json::object& object, std::string_view key) {
  const auto* value = member(object, key).if_bool();
  if (value == nullptr) malformed(std::string(key) + " is neither true nor false");
  return *value;
}

std::uint32_t checksum_member(const json::object& object, std::string_view key) {
  const auto* number = member(object, key).if_int64();
  if (number == nullptr || *number < INT32_MIN || *number > UINT32_MAX) {
    malformed(std::string(key) + " is not a 32-bit checksum");
  }
  return static_cast<std::uint32_t>(*number);
}

std::int64_t to_units(std::string_view text, unsigned scale) {
  return or_throw(parse_decimal(text, scale));
}

std::int64_t to_integer(std::string_view text) {
  return or_throw(parse_integer(text));
}

Level to_level(const json::value& value, Scale scale) {
  const auto& entry = as_array(value, "a level");
  if (entry.size() < 2) malformed("a level has no price and quantity");
  const Level level{{to_units(as_text(entry[0], "a price"), scale.price)},
                    {to_units(as_text(entry[1], "a quantity"), scale.quantity)}};
  if (level.quantity < Quantity{}) malformed("a level's quantity is negative");
  return level;
}

std::vector<Level> to_levels(const json::value& value, Scale scale) {
  std::vector<Level> levels;
  const auto& array = as_array(value, "the levels of a side");
  levels.reserve(array.size());
  for (const auto& entry : array) levels.push_back(to_level(entry, scale));
  return levels;
}

WallTime to_time(std::string_view seconds) {
  return {to_units(seconds, 9)};
}

WallTime from_milliseconds(std::uint64_t milliseconds) {
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  if (milliseconds > INT64_MAX / ns_per_ms) malformed("a time lies after the year 2262");
  return {static_cast<std::int64_t>(milliseconds * ns_per_ms)};
}

WallTime from_iso(std::string_view text) {
  using namespace std::chrono;
  const bool shaped = text.size() >= 20 && text[4] == '-' && text[7] == '-' && text[10] == 'T' && text[13] == ':' &&
                      text[16] == ':' && text.back() == 'Z';
  if (!shaped) malformed("'" + std::string(text) + "' is not a time like 2021-04-17T16:43:37.089723Z");
  const auto part = [&](std::size_t at, std::size_t size) {
    return static_cast<int>(to_integer(text.substr(at, size)));
  };
  const year_month_day date(year(part(0, 4)), month(static_cast<unsigned>(part(5, 2))),
                            day(static_cast<unsigned>(part(8, 2))));
  const int hour = part(11, 2);
  const int minute = part(14, 2);
  const std::int64_t second_ns = to_units(text.substr(17, text.size() - 18), 9);
  if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second_ns < 0 || second_ns > 60'999'999'999) {
    malformed("'" + std::string(text) + "' is no time of any day");
  }
  const auto since_1970 = duration_cast<nanoseconds>(sys_days(date).time_since_epoch() + hours(hour) + minutes(minute));
  return {since_1970.count() + second_ns};
}

}  // namespace millrace::market
