// millrace status: what the core says of itself, its topics, publishers and subscribers.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "bus/bus.hpp"
#include "tools/millrace/exit.hpp"

namespace millrace::cli {

struct StatusOptions {
  bool json = false;
  bool watch = false;
};

[[nodiscard]] Exit status(const BusOptions& bus, const StatusOptions& options);

// Two reports of the same core, and what the kernel knows.
struct StatusView {
  const control::StatusReportT& before;
  const control::StatusReportT& now;
  std::chrono::nanoseconds between;
  std::uint64_t resident_bytes;         // of the core, 0 if not known
  std::uint64_t resident_shared_bytes;  // of these in shared memory
};
[[nodiscard]] std::string status_text(const StatusView& view);
[[nodiscard]] std::string status_json(const StatusView& view);  // one line

}  // namespace millrace::cli
