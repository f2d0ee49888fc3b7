// How long anybody stood still, and which kill or stop came just before: a pure function of the journals and of the
// times of what was done.
//
// Reported, not judged: the machine itself takes processes away for many milliseconds, which the quiet phase before the
// first kill shows. A subscriber's time between events counts whether or not anybody published in it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/base/clock.hpp"
#include "tools/torturer/journal.hpp"
#include "tools/torturer/schedule.hpp"

namespace millrace::torture {

struct Incident {
  Victim victim;
  std::uint32_t index = 0;
  bool stop = false;
  MonotonicTime at;
  MonotonicTime until;  // of a stop: SIGCONT, or SIGKILL
};

struct Span {
  MonotonicTime from, to;
};

struct StallReport {
  using Longest = std::chrono::nanoseconds;
  static constexpr Longest limit_of_death = std::chrono::milliseconds(50);
  static constexpr Longest limit_of_core = std::chrono::seconds(2);
  struct Row {
    Longest publisher{};
    Longest subscriber{};  // levels live and recorded
    Longest synced{};      // waits for the disk, too

    [[nodiscard]] Longest longest() const { return std::max(publisher, subscriber); }
  };

  Row quiet;                                     // before the first kill
  Row alone;                                     // later, and no kill or stop before it
  std::map<std::pair<bool, Victim>, Row> after;  // by (stop, victim): what came before
  Longest core_back{};                           // from a core's death until every one of them went on
  Longest websocket_back{};                      // likewise WebSocket clients, from the death of core or gateway

  // Of those who do not wait for the disk, after the death of a publisher, subscriber, WebSocket client or gateway.
  [[nodiscard]] Longest after_death() const;
  void merge(const StallReport& other);
  // A table, and a line for each limit: kept or not.
  [[nodiscard]] std::string text() const;
};

// One place of the crew, over all its lives.
struct Place {
  Victim kind;
  std::uint32_t index = 0;
  std::string level{};  // of a subscriber
  std::vector<Record> journal{};
};

[[nodiscard]] StallReport report_stalls(const std::vector<Place>& places, const std::vector<Incident>& incidents,
                                        Span quiet);

}  // namespace millrace::torture
