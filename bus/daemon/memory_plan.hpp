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
  bool in_dev_shm = false;  // else a memory file of its own
};

[[nodiscard]] std::vector<MemoryTerm> memory_plan(const Config& config);
// Whether a /dev/shm of that size holds it, and iceoryx is sound with it. Errors: no_space, too_large.
[[nodiscard]] Status check_memory(const Config& config, std::uint64_t dev_shm_bytes);
// Size of this host's /dev/shm; 0 if there is none.
[[nodiscard]] std::uint64_t dev_shm_bytes();
// For millraced --check.
[[nodiscard]] std::string print_check(const Config& config);

}  // namespace millrace::daemon
