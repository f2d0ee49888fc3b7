#include "tools/torturer/stalls.hpp"

#include <algorithm>
#include <cstdio>

namespace millrace::torture {
namespace {

using namespace std::chrono_literals;

// How long after it something may be blamed for what begins then.
std::chrono::nanoseconds reach(const Incident& incident) {
  return incident.victim == Victim::core ? std::chrono::nanoseconds(2s) : std::chrono::nanoseconds(100ms);
}

bool touches(const Incident& incident, Span stall) {
  return stall.from < incident.until + reach(incident) && stall.to > incident.at;
}

// Of all that may be to blame, the one that stops most.
int weight(const Incident& incident) {
  return static_cast<int>(incident.victim) * 2 + (incident.stop && incident.victim == Victim::core ? 1 : 0);
}

template <class Value>
void raise(Value& value, Value to) {
  value = std::max(value, to);
}

void raise(StallReport::Row& row, const StallReport::Row& to) {
  raise(row.publisher, to.publisher);
  raise(row.subscriber, to.subscriber);
  raise(row.synced, to.synced);
}

StallReport::Row row_of(const Place& place, std::chrono::nanoseconds length) {
  if (place.kind == Victim::publisher) return {length, {}, {}};
  if (place.level == "synced") return {{}, {}, length};
  return {{}, length, {}};
}

double ms(std::chrono::nanoseconds time) {
  return static_cast<double>(time.count()) / 1e6;
}

}  // namespace

StallReport::Longest StallReport::after_death() const {
  Longest longest{};
  for (const auto& [cause, row] : after) {
    if (!cause.first && cause.second != Victim::core) raise(longest, row.longest());
  }
  return longest;
}

void StallReport::merge(const StallReport& other) {
  raise(quiet, other.quiet);
  raise(alone, other.alone);
  raise(core_back, other.core_back);
  raise(websocket_back, other.websocket_back);
  for (const auto& [cause, row] : other.after) raise(after[cause], row);
}

std::string StallReport::text() const {
  std::string out;
  char line[200];
  const auto add = [&](const std::string& what, const Row& row) {
    std::snprintf(line, sizeof line, "  %-28s %12.1f %12.1f %12.1f\n", what.c_str(), ms(row.publisher),
                  ms(row.subscriber), ms(row.synced));
    out += line;
  };
  std::snprintf(line, sizeof line, "  %-28s %12s %12s %12s\n", "longest stall of the living, ms", "publishers",
                "subscribers", "level synced");
  out += line;
  add("quiet phase, no kill", quiet);
  add("later, no kill or stop near", alone);
  for (const auto& [cause, row] : after) {
    add(std::string(cause.first ? "stop of a " : "death of a ") + to_string(cause.second), row);
  }
  const auto judge = [&](const char* what, Longest time, Longest limit) {
    std::snprintf(line, sizeof line, "%s: %.1f ms, limit %.0f ms: %s (without any kill: %.1f ms)\n", what, ms(time),
                  ms(limit), time <= limit ? "kept" : "NOT KEPT", ms(std::max(quiet.longest(), alone.longest())));
    out += line;
  };
  judge("after the death of a publisher, subscriber, WebSocket client or gateway", after_death(), limit_of_death);
  judge("after the death of the core until all flowed again", core_back, limit_of_core);
  std::snprintf(line, sizeof line, "WebSocket clients, after the death of core or gateway: %.1f ms\n",
                ms(websocket_back));
  out += line;
  return out;
}

StallReport report_stalls(const std::vector<Place>& places, const std::vector<Incident>& incidents, Span quiet) {
  StallReport report;
  for (const Place& place : places) {
    for (const Record& record : place.journal) {
      if (record.kind != Kind::stall) continue;
      const MonotonicTime from{static_cast<std::int64_t>(record.base)};
      const std::chrono::nanoseconds length(static_cast<std::int64_t>(record.count));
      const Span stall{from, from + length};
      const Incident* cause = nullptr;
      bool own = false;
      int of_core = 0, of_edge = 0;
      for (const Incident& incident : incidents) {
        if (!touches(incident, stall)) continue;
        own |= incident.victim == place.kind && incident.index == place.index;
        if (incident.victim == Victim::core && incident.at < stall.to) ++of_core;
        if (incident.victim >= Victim::gateway) ++of_edge;
        if (cause == nullptr || weight(incident) >= weight(*cause)) cause = &incident;
      }
      if (own) continue;  // it was itself that was stopped
      if (place.kind == Victim::websocket) {
        if (of_edge == 1 && cause->victim >= Victim::gateway && !cause->stop && cause->at > stall.from) {
          raise(report.websocket_back, stall.to - cause->at);
        }
        continue;
      }
      if (cause == nullptr) {
        raise(stall.to <= quiet.to && stall.from >= quiet.from ? report.quiet : report.alone, row_of(place, length));
        continue;
      }
      raise(report.after[{cause->stop, cause->victim}], row_of(place, length));
      // Where a second death of the core, or its stop, fell into the first's time, that time says nothing.
      if (cause->victim == Victim::core && !cause->stop && of_core == 1 && cause->at >= stall.from) {
        raise(report.core_back, stall.to - cause->at);
      }
    }
  }
  return report;
}

}  // namespace millrace::torture
