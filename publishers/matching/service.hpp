// The matching process's loop: takes commands one by one, lets the venue carry them out, and publishes what follows.
//
// What a command led to is published whole and in order before the next command is taken: while a topic is
// back-pressured or the core is away, the rest of the outputs waits here, is tried again at each step, and the source
// waits with it. Nothing is dropped, nothing blocks, no command is carried out twice.
//
// Without snapshots the books live in this process alone: one that starts again begins with empty books, and by default
// behind the orders that were recorded before. With them it comes back with its books: see recovery.hpp.
#pragma once

#include <cstdint>
#include <optional>

#include "bus/base/agent.hpp"
#include "publishers/matching/order_source.hpp"
#include "publishers/matching/outlet.hpp"
#include "publishers/matching/snapshots.hpp"
#include "publishers/matching/venue.hpp"

namespace millrace::matching {

class Service final : public Agent {
 public:
  // All outlive it. The venue's first outputs are the first to go out.
  Service(Venue& venue, OrderSource& source, Outlet& outlet, Snapshots* snapshots = nullptr)
      : venue_(venue), source_(source), outlet_(outlet), snapshots_(snapshots) {}

  // At most kCommandsPerStep commands; returns how many commands and events went through.
  std::uint64_t do_work(MonotonicTime now) override;

  // From here on it only publishes what it still has.
  void stop_taking() { taking_ = false; }
  // Events of the last command that are not published yet.
  [[nodiscard]] std::uint64_t waiting() const { return venue_.outputs().size() - published_; }
  // Why it stands still, if it does.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  [[nodiscard]] std::uint64_t commands() const { return commands_; }

 private:
  static constexpr std::uint64_t kCommandsPerStep = 64;

  // Returns how many went out.
  std::uint64_t publish_waiting();

  Venue& venue_;
  OrderSource& source_;
  Outlet& outlet_;
  Snapshots* snapshots_;
  bool taking_ = true;
  std::uint64_t published_ = 0;  // of the venue's outputs
  std::optional<Offset> cause_;  // of the outputs
  std::uint64_t commands_ = 0;
  std::optional<Error> error_;
};

}  // namespace millrace::matching
