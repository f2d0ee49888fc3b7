// Which events of a topic a replay hands over. Rejects by the frame's header where that is enough: a payload is touched
// only if its header may belong to an event that is wanted.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "bus/base/frame.hpp"
#include "bus/base/result.hpp"
#include "schemas/registry.hpp"

namespace millrace::historical {

// Conditions of the form field=value on one event type. Several on one field: any of them; on several fields: each.
// Fields: those of EventType::filterable(), and `event_type` (also `type`, where the events have no field of that name)
// with a type's name or number.
class Filter {
 public:
  Filter() = default;  // wants everything

  // `type` outlives it. Errors: invalid_argument (no '='; a field that there is not, naming those there are; an event
  // type that there is not).
  [[nodiscard]] static Result<Filter> make(std::span<const std::string> conditions, const schemas::EventType& type);

  // Wants no event.
  [[nodiscard]] static Filter nothing() {
    Filter filter;
    filter.nothing_ = true;
    return filter;
  }

  // By the header alone. The key is the hash of one field; a publisher that gave none is looked at.
  [[nodiscard]] bool may_match(const FrameHeader& header) const {
    if (nothing_) return false;
    return keys_.empty() || header.key == 0 || std::find(keys_.begin(), keys_.end(), header.key) != keys_.end();
  }
  // `payload` is verified, and its header may match.
  [[nodiscard]] bool matches(std::span<const std::byte> payload) const;

 private:
  struct Field {
    std::string name;
    std::vector<std::string> values;
  };

  const schemas::EventType* type_ = nullptr;
  bool nothing_ = false;  // the conditions want another event type
  std::vector<Field> fields_;
  std::vector<std::uint64_t> keys_;  // if one of the fields is the key's: the hashes of its values
};

}  // namespace millrace::historical
