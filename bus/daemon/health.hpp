// The core's own publisher: state changes as events on system.health. That topic is live_only and the core never waits
// on it: what finds no page is counted and left out.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "bus/base/clock.hpp"
#include "bus/recorder/topic_recorder.hpp"
#include "bus/ring/writer.hpp"
#include "schemas/event_template.hpp"

namespace millrace::daemon {

struct HealthChange {
  schemas::HealthSubject subject;
  std::string name;
  std::string topic;
  schemas::HealthState old_state;
  schemas::HealthState new_state;
  schemas::HealthReason reason = schemas::HealthReason::none;
  std::int64_t number = 0;
};

class HealthJournal {
 public:
  explicit HealthJournal(const Clock& clock) : clock_(clock) {}

  // From here on it publishes; what came before is published now.
  void open(ring::Ring ring, PageNumber first_page, const Admission& admission);
  void add(HealthChange change);

  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  [[nodiscard]] bool publish(const HealthChange& change, WallTime at);

  static constexpr std::size_t waiting_max = 256;

  const Clock& clock_;
  schemas::EventTemplate<schemas::HealthEvent> event_;
  std::optional<ring::Writer> writer_;
  std::deque<std::pair<WallTime, HealthChange>> waiting_;
  std::uint64_t left_out_ = 0;
};

}  // namespace millrace::daemon
