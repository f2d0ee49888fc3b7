// `millrace consumers`: the durable consumers of a bus, and what may be done to them; `millrace reopen`.
#pragma once

#include <string>

#include "bus/bus.hpp"
#include "tools/millrace/exit.hpp"

namespace millrace::cli {

struct ConsumersOptions {
  std::string topic;  // of `list`: empty for all
  std::string name;
  std::string to = "latest";  // of `reset`: as parse_start() takes it
  bool json = false;          // of `list`
};

[[nodiscard]] std::string consumers_text(const control::StatusReportT& report, const std::string& topic);
[[nodiscard]] std::string consumers_json(const control::StatusReportT& report, const std::string& topic);

[[nodiscard]] Exit list_consumers(const BusOptions& bus, const ConsumersOptions& options);
[[nodiscard]] Exit reset_consumer(const BusOptions& bus, const ConsumersOptions& options);
[[nodiscard]] Exit delete_consumer(const BusOptions& bus, const ConsumersOptions& options);
[[nodiscard]] Exit reopen(const BusOptions& bus, const std::string& topic);

}  // namespace millrace::cli
