#include "bus/daemon/health.hpp"

namespace millrace::daemon {

void HealthJournal::open(ring::Ring ring, PageNumber first_page, const Admission& admission) {
  writer_.emplace(ring, first_page, admission.last_sequence.next());
  for (const auto& [at, change] : waiting_) {
    if (!publish(change, at)) ++left_out_;
  }
  waiting_.clear();
}

void HealthJournal::add(HealthChange change) {
  const WallTime now = clock_.wall();
  if (writer_) {
    if (!publish(change, now)) ++left_out_;
  } else if (waiting_.size() < waiting_max) {
    waiting_.emplace_back(now, std::move(change));
  } else {
    ++left_out_;
  }
}

bool HealthJournal::publish(const HealthChange& change, WallTime at) {
  const auto claim = writer_->claim(event_.size());
  if (claim.status != ring::ClaimStatus::ok) return false;
  schemas::HealthEvent* event = event_.instantiate(claim.payload);
  event->mutate_subject(change.subject);
  schemas::set_text(event->mutable_name(), change.name);
  schemas::set_text(event->mutable_topic(), change.topic);
  event->mutate_old_state(change.old_state);
  event->mutate_new_state(change.new_state);
  event->mutate_reason(change.reason);
  event->mutate_number(change.number);
  event->mutate_event_time(at.ns);
  writer_->commit({schemas::Family<schemas::HealthEvent>::id, key_of(change.name), 0, at});
  return true;
}

}  // namespace millrace::daemon
