// The key of a built-in event, straight from its field: what EventType::key() finds through the schema.
#pragma once

#include "bus/base/ids.hpp"
#include "schemas/families.hpp"

namespace millrace::schemas {

[[nodiscard]] inline Key key_of_text(std::string_view text) {
  return text.empty() ? Key() : key_of(text);
}

[[nodiscard]] inline Key event_key(const TradeEvent& event) {
  return key_of_text(text(event.instrument()));
}
[[nodiscard]] inline Key event_key(const AccountEvent& event) {
  return key_of_text(text(event.account()));
}
[[nodiscard]] inline Key event_key(const MarketL2& event) {
  return key_of_text(text(event.instrument()));
}
[[nodiscard]] inline Key event_key(const OrderEvent& event) {
  return key_of_text(text(event.instrument()));
}
[[nodiscard]] inline Key event_key(const HealthEvent& event) {
  return key_of_text(text(event.name()));
}
[[nodiscard]] inline Key event_key(const OrderCommand& event) {
  return key_of_text(text(event.instrument()));
}
[[nodiscard]] inline Key event_key(const RiskAlert& event) {
  return key_of_text(text(event.account()));
}

}  // namespace millrace::schemas
