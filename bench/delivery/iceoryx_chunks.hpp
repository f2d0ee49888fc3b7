// The neighbour: iceoryx as it is meant to be used, one chunk a message, its own RouDi in a process of its own.
#pragma once

#include "bench/delivery/harness.hpp"

namespace millrace::bench {

// 128 bytes a message. One RouDi a host: run it where no other iceoryx system does.
[[nodiscard]] Outcome measure_iceoryx_chunks(const Plan& plan);

}  // namespace millrace::bench
