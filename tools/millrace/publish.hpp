// millrace publish: JSON lines become events. Nothing is dropped: where the bus cannot take an event now, it is offered
// again until it does.
#pragma once

#include <cstdint>
#include <string>

#include "bus/base/clock.hpp"
#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "tools/millrace/exit.hpp"
#include "tools/millrace/lines.hpp"

namespace millrace::cli {

struct PublishOptions {
  std::string topic{};
  std::string name = "millrace-cli";
  std::string wait = "recorded";  // or synced: what the last event must be before this ends
  bool keep_going = false;        // leave bad lines out, and count them
};

[[nodiscard]] Exit publish(const BusOptions& bus, const PublishOptions& options);

struct PublishCounts {
  std::uint64_t lines = 0;
  std::uint64_t published = 0;
  std::uint64_t bad = 0;
  Sequence last;  // of what was published here; 0 if nothing was
};
// The loop of it: until the lines end, an interrupt, or a bad line unless options.keep_going. `idle` waits where the
// bus cannot take more.
[[nodiscard]] Exit publish_lines(Lines& lines, Publisher& publisher, const schemas::EventType& type,
                                 const PublishOptions& options, IdleStrategy& idle, PublishCounts& counts);
// Until everything up to `last` is recorded, or synced. Gives up after a minute in which nothing was.
[[nodiscard]] Exit await_last(Publisher& publisher, Sequence last, bool synced, IdleStrategy& idle, const Clock& clock);

}  // namespace millrace::cli
