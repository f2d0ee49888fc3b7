// The end of a simulation: everything is healed, everybody drains, and nothing may be missing.
#include <algorithm>

#include "bus/simulation/actors.hpp"

namespace millrace::simulation {
namespace {
constexpr int rounds_max = 3000;
constexpr int looks = 30;
}  // namespace

void Simulation::finish() {
  say("the end: all is healed and drained");
  heal_disk();
  while (!syncs_.empty()) {
    run_sync();
    complete_sync();
  }
  if (bus_->has_core() && !recording() && chance(50)) reopen();
  start_core();
  check();
  if (!model_->failed()) drain_processes();
  if (!model_->failed()) drain_readers();
  audit();
  if (!model_->failed()) model_->nothing_is_missing();
  for (const auto& process : processes_) {
    if (!process->publisher || process->asked != core_ || !process->admitted) continue;
    const Sequence synced = process->publisher->synced_sequence();
    if (synced.next() != process->next) {
      model_->fail(process->name + " is told " + std::to_string(synced.value()) +
                   " as synced, but all before its next, " + std::to_string(process->next.value()) + ", is");
    }
  }
  totals_.recorded = model_->events_in_log();
  totals_.gaps = counted_gaps_ + bus_->recorder().counters().not_recorded - counted_not_recorded_;
  if (model_->failed()) return;
  // All was synced: the host's death can take nothing.
  const Offset end = bus_->recorder().log().next_offset();
  kill_host();
  if (model_->failed()) return;
  start_core();
  if (!model_->failed() && bus_->recorder().log().next_offset() != end) {
    model_->fail("the log ends at " + std::to_string(bus_->recorder().log().next_offset().value()) + " instead of " +
                 std::to_string(end.value()));
  }
}

// Each publishes one event more: what was given up before it is then told.
void Simulation::drain_processes() {
  std::vector<const Process*> done;
  for (int round = 0; round < rounds_max; ++round) {
    clock_.advance(std::chrono::milliseconds(1));
    reap();
    attach_processes();
    bool idle = true;
    for (const auto& process : processes_) {
      if (!process->publisher || !process->admitted || process->asked != core_) {
        idle = idle && !process->stream;  // it waits for a stream: all are taken
        continue;
      }
      if (process->in_batch) commit_batch(*process);
      if (std::find(done.begin(), done.end(), process.get()) == done.end()) {
        idle = false;
        const Sequence before = process->next;
        publish_into(*process);
        if (process->next != before) done.push_back(process.get());
      }
    }
    const auto taken = [this] { return bus_->recorder().counters().events + bus_->recorder().counters().duplicates; };
    const std::uint64_t before = taken();
    record();
    idle = idle && taken() == before && !bus_->recorder().roll_waits() &&
           bus_->recorder().state() == TopicRecorder::State::ok;
    if (const auto ticket = bus_->recorder().take_sync(clock_.monotonic(), TopicRecorder::Sync::now)) {
      syncs_.push_back({*ticket, std::nullopt});
    }
    while (!syncs_.empty()) {
      run_sync();
      complete_sync();
    }
    grant();
    if (bus_->recorder().roll_waits_for_file()) (void)bus_->keep_house();
    check();
    take_store();
    run_store();
    complete_store();
    admit_consumers();
    acknowledge();
    check();
    for (const auto& reader : readers_) {
      if (reader->subscriber) poll(*reader, 10'000);
    }
    if (model_->failed()) return;
    for (const auto& process : processes_) {
      if (!process->publisher || !process->admitted || process->asked != core_) continue;
      idle = idle && process->publisher->recorded_sequence().next() == process->next;
    }
    if (idle && !bus_->recorder().unsynced() && !bus_->recorder().roll_waits()) return;
  }
  for (const auto& process : processes_) {
    say(process->name + ": admitted " + std::to_string(process->admitted) + ", its next is " +
        std::to_string(process->next.value()));
  }
  model_->fail("the bus does not drain");
}

// All who read, and all who have a token, see the log to its end.
void Simulation::drain_readers() {
  const ring::TopicMarks& marks = bus_->marks().topic;
  for (;;) {
    bool more = true;
    for (int round = 0; more && !model_->failed(); ++round) {
      if (round == rounds_max) return model_->fail("the readers do not drain");
      more = false;
      attach_readers();
      admit_consumers();
      take_store();
      run_store();
      complete_store();
      for (std::size_t i = readers_.size(); i-- > 0;) {
        if (!readers_[i]->subscriber) {
          more = true;
          continue;
        }
        const std::uint64_t before = readers_[i]->sight.count;
        // A live reader leaves a page at a time that it cannot tell whose it was.
        for (int look = 0; look < looks && readers_[i]->sight.count == before; ++look) poll(*readers_[i], 10'000);
        more = more || readers_[i]->sight.count != before || readers_[i]->core != core_ ||
               readers_[i]->link->state() != SubscriberLink::State::attached;
        const Follower* follower = readers_[i]->subscriber->follower();
        if (follower != nullptr && follower->error()) drop(i);
      }
    }
    for (const auto& reader : readers_) {
      const Sight& sight = reader->sight;
      if (sight.level != Level::live) {
        const std::uint64_t end = (sight.level == Level::synced ? marks.synced_end : marks.recorded_end).load();
        if (*sight.next != Offset(end)) {
          model_->fail("a follower ends at offset " + std::to_string(sight.next->value()) + " instead of " +
                       std::to_string(end));
        }
        continue;
      }
      for (const auto& process : processes_) {
        if (!process->publisher || process->asked != core_ || !process->admitted) continue;
        const auto seen = sight.shown.find(process->publisher->id());
        if (seen != sight.shown.end() && !seen->second.empty()) {
          const auto& [last, epoch] = *seen->second.rbegin();
          if (last.next() == process->next && epoch == process->publisher->epoch()) continue;
        }
        model_->fail("a live reader has not seen the last event of " + process->name + ", " +
                     std::to_string(process->next.value() - 1));
      }
    }
    if (model_->failed()) return;
    const std::size_t waiting = tokens_.size();
    while (!readers_.empty()) drop(readers_.size() - 1);
    tokens_.resize(waiting, Token{Level::recorded, {}});  // those just dropped have seen all
    if (tokens_.empty()) return;
    while (!tokens_.empty() && readers_.size() < readers_max_ && !model_->failed()) resume(tokens_.size() - 1);
  }
}

}  // namespace millrace::simulation
