#include "subscribers/historical/filter.hpp"

#include <charconv>
#include <cstdint>
#include <optional>

namespace millrace::historical {
namespace {

std::string listed(std::span<const std::string> names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

bool is_field(const schemas::EventType& type, const std::string& name) {
  const auto names = type.filterable();
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool names_event_type(const std::string& field, const schemas::EventType& type) {
  return !is_field(type, field) && (field == "event_type" || field == "type");
}

// By name or number. A name that neither this log nor millrace knows is a mistake; a number may be another log's.
Result<bool> is_type(const std::string& value, const schemas::EventType& type) {
  if (value == type.name()) return true;
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc() && end == value.data() + value.size()) return EventTypeId{number} == type.id();
  static const schemas::Registry built_in = schemas::Registry::built_in();
  if (built_in.find(value) != nullptr) return false;
  std::string known(type.name());
  for (const schemas::EventType* other : built_in.all()) {
    if (other->name() != type.name()) known += ", " + std::string(other->name());
  }
  return fail(ErrorCode::invalid_argument, "there is no event type '" + value + "'; there are: " + known);
}

}  // namespace

Result<Filter> Filter::make(std::span<const std::string> conditions, const schemas::EventType& type) {
  Filter filter;
  filter.type_ = &type;
  std::optional<bool> of_type;
  for (const std::string& condition : conditions) {
    const std::size_t equals = condition.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(ErrorCode::invalid_argument,
                  "the filter '" + condition + "' is not field=value, as in instrument=600519");
    }
    const std::string name = condition.substr(0, equals);
    std::string value = condition.substr(equals + 1);
    if (names_event_type(name, type)) {
      const auto is = is_type(value, type);
      if (!is) return fail(is.error());
      of_type = of_type.value_or(false) || *is;
      continue;
    }
    if (!is_field(type, name)) {
      return fail(ErrorCode::invalid_argument, std::string(type.name()) + " cannot be filtered by '" + name +
                                                   "'; there are: " + listed(type.filterable()));
    }
    if (name == type.key_field()) filter.keys_.push_back(value.empty() ? 0 : key_of(value).value());
    auto field = std::find_if(filter.fields_.begin(), filter.fields_.end(),
                              [&](const Field& other) { return other.name == name; });
    if (field == filter.fields_.end()) field = filter.fields_.insert(field, {name, {}});
    field->values.push_back(std::move(value));
  }
  filter.nothing_ = !of_type.value_or(true);
  return filter;
}

bool Filter::matches(std::span<const std::byte> payload) const {
  return std::all_of(fields_.begin(), fields_.end(), [&](const Field& field) {
    return std::any_of(field.values.begin(), field.values.end(),
                       [&](const std::string& value) { return type_->matches(payload, field.name, value); });
  });
}

}  // namespace millrace::historical
