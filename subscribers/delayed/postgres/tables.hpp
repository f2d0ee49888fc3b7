// Which tables the events of a family go to, and how: the columns of the temporary table that they are copied into, and
// the one statement for each table that takes them from there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bus/event.hpp"
#include "schemas/registry.hpp"
#include "subscribers/delayed/postgres/copy_rows.hpp"

namespace millrace::delayed::postgres {

// Twice the time of a plain INSERT, so only where a batch was refused.
inline constexpr std::string_view skip_existing = "ON CONFLICT (topic, log_offset) DO NOTHING";

struct Tables {
  std::string_view family;      // the topic's type: "trade_events"
  std::string_view rows_table;  // holds a row for each event
  std::string_view stage;       // the temporary table
  std::string_view columns;     // of `stage`, as in CREATE TABLE
  // $topic stands for the topic's name as a literal, $skip for nothing or skip_existing.
  std::vector<std::string_view> inserts;
  void (*encode)(const Event& event, CopyRows& into);  // one row of `stage`
};

// Null for a family that has none.
[[nodiscard]] const Tables* tables_of(const schemas::EventType& type);
// "trade_events, account_events, market_l2", for messages.
[[nodiscard]] std::string known_families();

}  // namespace millrace::delayed::postgres
