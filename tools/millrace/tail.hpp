// millrace tail: the events of a topic as JSON lines, from the log and live.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "tools/millrace/exit.hpp"
#include "tools/millrace/output.hpp"

namespace millrace::cli {

struct TailOptions {
  std::string topic{};
  std::string from = "latest";
  std::string level = "recorded";
  std::vector<std::string> filters{};
  std::optional<std::uint64_t> limit{};  // events shown
  bool snapshot = false;                 // begin with the latest event of each key
  bool follow = true;                    // else ends at what is recorded (or synced) when it starts
};

[[nodiscard]] Exit tail(const BusOptions& bus, const TailOptions& options);

// The loop of it; `type` is of the subscriber's topic, `idle` waits where there is nothing to show.
[[nodiscard]] Exit tail_events(Subscriber& subscriber, const schemas::EventType& type, const TailOptions& options,
                               IdleStrategy& idle, Output& out);

}  // namespace millrace::cli
