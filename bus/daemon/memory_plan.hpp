// What a configuration takes of /dev/shm, a named term a holder, and how long a stall of the disk each topic bridges.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bus/daemon/config.hpp"

namespace millrace::daemon {

struct MemoryTerm {
  std::string holder;
  std::uint64_t bytes = 0;
};

[[nodiscard]] std::vector<MemoryTerm> memory_plan(const Config& config);
// For millraced --check.
[[nodiscard]] std::string print_check(const Config& config);

}  // namespace millrace::daemon
