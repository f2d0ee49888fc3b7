// millrace replay: recorded events of one or several topics again, merged by record time, as JSON lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/idle.hpp"
#include "bus/bus.hpp"
#include "subscribers/historical/replay.hpp"
#include "tools/millrace/exit.hpp"
#include "tools/millrace/output.hpp"
#include "tools/millrace/progress.hpp"

namespace millrace::cli {

struct ReplayCommand {
  std::vector<std::string> topics{};  // names, or folders of logs
  std::string from = "earliest";
  std::string to = "end";
  std::string consumer{};  // begins at its checkpoint instead of `from`
  std::string level = "recorded";
  std::string speed = "max";
  std::vector<std::string> filters{};
  bool snapshot = false;  // each topic begins with the latest event of each key before `from`
  bool follow = false;
  double merge_delay_ms = 5;
  std::optional<std::uint64_t> limit{};  // events shown
  bool quiet = false;                    // no events: how fast they come
  bool progress = false;                 // shown wherever standard error goes
  std::string config{};                  // topics' folders by millraced's configuration, without the core
  std::string root{};                    // table of a user's schema in a folder
};

[[nodiscard]] Exit replay(const BusOptions& bus, const ReplayCommand& command);

// What replay() tells of on standard error; remembers whether anything was lost.
class ReplayNotices {
 public:
  // `names` of the topics. `progress`: its line is cleared before anything is said.
  ReplayNotices(std::vector<std::string> names, Progress& progress) : names_(std::move(names)), progress_(&progress) {}
  void tell(const historical::Notice& notice);
  [[nodiscard]] Exit exit() const { return exit_; }

 private:
  std::vector<std::string> names_;
  Progress* progress_;
  Exit exit_ = Exit::ok;
};

// The loop of it; `idle` waits where there is nothing to show.
[[nodiscard]] Exit replay_events(historical::Replay& replay, const ReplayCommand& command, IdleStrategy& idle,
                                 Progress& progress, Output& out);

}  // namespace millrace::cli
