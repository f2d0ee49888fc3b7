#include "tools/millrace/selection.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "bus/base/rfc3339.hpp"

namespace millrace::cli {
namespace {

// An offset beyond takes 150 years at 20 M events/s; nanoseconds below lie before 1973-03-03.
constexpr std::uint64_t first_time_ns = 100'000'000'000'000'000;

}  // namespace

Result<Start> parse_start(std::string_view text) {
  if (text == "earliest") return StartEarliest{};
  if (text == "latest") return StartLatest{};
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number < first_time_ns) return Offset(number);
  if (const auto time = parse_time(text)) return *time;
  return fail(ErrorCode::invalid_argument, "'" + std::string(text) +
                                               "' is no place to begin; give earliest, latest, an offset, or a time "
                                               "such as 2026-03-01T09:30:00Z");
}

Result<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::live, Level::recorded, Level::synced}) {
    if (text == to_string(level)) return level;
  }
  return fail(ErrorCode::invalid_argument,
              "there is no level '" + std::string(text) + "'; give live, recorded or synced");
}

Result<Filter> Filter::parse(std::span<const std::string> conditions, const schemas::EventType& type) {
  Filter filter(type);
  for (const std::string& condition : conditions) {
    const std::size_t equals = condition.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(ErrorCode::invalid_argument,
                  "the filter '" + condition + "' is not field=value, as in instrument=600519");
    }
    const std::string name = condition.substr(0, equals);
    const auto names = type.filterable();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      std::string known;
      for (const std::string& other : names) known += (known.empty() ? "" : ", ") + other;
      return fail(ErrorCode::invalid_argument,
                  std::string(type.name()) + " cannot be filtered by '" + name + "'; there are: " + known);
    }
    auto field = std::find_if(filter.fields_.begin(), filter.fields_.end(),
                              [&](const Field& other) { return other.name == name; });
    if (field == filter.fields_.end()) field = filter.fields_.insert(field, {name, {}});
    field->values.push_back(condition.substr(equals + 1));
  }
  return filter;
}

bool Filter::matches(std::span<const std::byte> payload) const {
  return std::all_of(fields_.begin(), fields_.end(), [&](const Field& field) {
    return std::any_of(field.values.begin(), field.values.end(),
                       [&](const std::string& value) { return type_->matches(payload, field.name, value); });
  });
}

}  // namespace millrace::cli
