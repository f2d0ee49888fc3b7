// Inside the feeds only: strict access to JSON text. What is missing or of another kind is thrown as Malformed, which
// LineFeed::next catches; no exception leaves this folder.
#pragma once

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "publishers/market/events.hpp"

namespace millrace::market {

struct Malformed {
  std::string message;
};

// Parses one document at a time, reusing its memory.
class JsonParser {
 public:
  // Valid until the next call.
  [[nodiscard]] const boost::json::value& parse(std::string_view text);

 private:
  std::array<unsigned char, 64 << 10> memory_{};
  std::optional<boost::json::monotonic_resource> arena_;
  std::optional<boost::json::value> document_;
};

[[nodiscard]] const boost::json::object& as_object(const boost::json::value& value, std::string_view what);
[[nodiscard]] const boost::json::array& as_array(const boost::json::value& value, std::string_view what);
[[nodiscard]] std::string_view as_text(const boost::json::value& value, std::string_view what);
[[nodiscard]] std::uint64_t as_number(const boost::json::value& value, std::string_view what);

[[nodiscard]] const boost::json::value& member(const boost::json::object& object, std::string_view key);
[[nodiscard]] std::string_view text_member(const boost::json::object& object, std::string_view key);
// Not negative.
[[nodiscard]] std::uint64_t number_member(const boost::json::object& object, std::string_view key);
[[nodiscard]] bool bool_member(const boost::json::object& object, std::string_view key);
// A checksum, which some venues send as a signed number.
[[nodiscard]] std::uint32_t checksum_member(const boost::json::object& object, std::string_view key);

[[nodiscard]] std::int64_t to_units(std::string_view text, unsigned scale);
[[nodiscard]] std::int64_t to_integer(std::string_view text);
// ["price", "quantity", ...]
[[nodiscard]] Level to_level(const boost::json::value& value, Scale scale);
[[nodiscard]] std::vector<Level> to_levels(const boost::json::value& value, Scale scale);

// "1618677817.061845", seconds since 1970.
[[nodiscard]] WallTime to_time(std::string_view seconds);
[[nodiscard]] WallTime from_milliseconds(std::uint64_t milliseconds);
// "2021-04-17T16:43:37.089723Z"
[[nodiscard]] WallTime from_iso(std::string_view text);

}  // namespace millrace::market
