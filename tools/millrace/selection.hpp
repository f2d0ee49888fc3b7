// Which events: where to begin, and which of them to show, as words of the command line.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/result.hpp"
#include "bus/follower.hpp"
#include "schemas/registry.hpp"

namespace millrace::cli {

// "earliest", "latest", an offset, a time in RFC 3339, or one in nanoseconds since 1970: a number from 10^17 upward
// (1973) is a time, a smaller one an offset.
[[nodiscard]] Result<Start> parse_start(std::string_view text);
[[nodiscard]] Result<Level> parse_level(std::string_view text);

// Conditions of the form field=value. Several on one field: any of them; on several fields: each.
class Filter {
 public:
  // Errors: no '=', or a field that the type cannot be filtered by.
  [[nodiscard]] static Result<Filter> parse(std::span<const std::string> conditions, const schemas::EventType& type);

  // `payload` is verified.
  [[nodiscard]] bool matches(std::span<const std::byte> payload) const;

 private:
  struct Field {
    std::string name;
    std::vector<std::string> values;
  };

  explicit Filter(const schemas::EventType& type) : type_(&type) {}

  const schemas::EventType* type_;
  std::vector<Field> fields_;
};

}  // namespace millrace::cli
