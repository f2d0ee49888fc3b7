// What millrace-postgres-sink takes on its command line.
#pragma once

#include <string>
#include <variant>

#include "subscribers/delayed/postgres/sink.hpp"

namespace millrace::delayed::postgres {

struct CommandLine {
  SinkOptions sink;
  std::string socket;
  std::string log_level = "info";
  bool migrate_only = false;
};

// Or the exit status, after help or a complaint was printed.
[[nodiscard]] std::variant<CommandLine, int> parse_command_line(int count, const char* const* arguments);

}  // namespace millrace::delayed::postgres
