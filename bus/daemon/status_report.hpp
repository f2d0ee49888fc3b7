// What the core says of itself when it is asked: every topic, who publishes and reads it, and what is not well.
#pragma once

#include <memory>
#include <vector>

#include "bus/daemon/disk.hpp"
#include "bus/daemon/topic.hpp"
#include "bus/daemon/watch.hpp"

namespace millrace::daemon {

// The part of a report that concerns topics, with `reasons`. Whatever else it has is the caller's to fill in.
[[nodiscard]] control::StatusReportT report_topics(const std::vector<std::unique_ptr<Topic>>& topics, const Disk& disk,
                                                   const Watch& watch);

}  // namespace millrace::daemon
