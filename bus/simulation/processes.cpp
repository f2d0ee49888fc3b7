// The publishing processes of a simulation.
#include <algorithm>
#include <cstring>

#include "bus/simulation/actors.hpp"
#include "schemas/trade_events_generated.h"

namespace millrace::simulation {
namespace {

using schemas::TradeEvent;

void fill(TradeEvent& trade, std::uint64_t number) {
  trade.mutate_buy_order_id(number);
  schemas::set_text(trade.mutable_instrument(), "MILL");
}

// A trade as publish<TradeEvent>() makes it.
std::vector<std::byte> trade(std::uint64_t number) {
  static const schemas::EventTemplate<TradeEvent> event;
  std::vector<std::byte> bytes(event.size());
  fill(*event.instantiate(bytes), number);
  return bytes;
}

std::vector<std::byte> payload(std::uint64_t number, std::size_t size) {
  std::vector<std::byte> bytes(size, static_cast<std::byte>(number));
  std::memcpy(bytes.data(), &number, std::min(size, sizeof number));
  return bytes;
}

}  // namespace

void Simulation::start_process() {
  if (!bus_->has_core() || processes_.size() > options_.streams) return;
  const std::string name = "p" + std::to_string(pick(names_));
  Incarnation incarnation;
  for (auto& byte : incarnation.bytes) byte = static_cast<std::uint8_t>(random_());
  auto process = std::make_unique<Process>(Process{name, incarnation});
  say("process " + name + " " + to_hex(incarnation.bytes).substr(0, 4));
  processes_.push_back(std::move(process));
  attach(*processes_.back());
}

void Simulation::attach_processes() {
  for (std::size_t i = processes_.size(); i-- > 0;) {
    attach(*processes_[i]);
    if (processes_[i]->link->state() == PublisherLink::State::closed) kill(i);
  }
}

void Simulation::attach(Process& process) {
  if (!bus_->has_core() || (process.admitted && process.asked == core_)) return;
  if (process.asked != core_) process.stream.reset();
  if (!process.stream) {
    process.admitted = false;
    if (process.publisher) process.link->disconnect();
    const auto stream = bus_->ask(process.name, process.incarnation);
    if (!stream) {
      // A newborn gives up; so does one whose name went to another.
      if (!process.publisher || stream.error().code == ErrorCode::in_use) process.link->close(stream.error());
      return;
    }
    process.stream = *stream;
    process.asked = core_;
  }
  auto admitted = bus_->admitted(*process.stream);
  if (!admitted) {
    say(process.name + " is not admitted: " + admitted.error().message);
    process.stream.reset();
    return;
  }
  if (*admitted == nullptr) return;
  const PublisherAttachment& attachment = **admitted;
  model_->granted(process.name, process.incarnation, attachment.publisher, attachment.epoch, attachment.last_sequence);
  say(process.name + " has stream " + std::to_string(*process.stream) + " as id " +
      std::to_string(attachment.publisher.value()) + " epoch " + std::to_string(attachment.epoch.value()) + " behind " +
      std::to_string(attachment.last_sequence.value()));
  process.admitted = true;
  // One whose name another had in between is fenced: under its new epoch nobody may ever see an event.
  if (process.publisher) return process.link->replace(std::move(*admitted));
  process.next = attachment.last_sequence.next();
  process.ring_of = core_;
  process.publisher = std::make_unique<Publisher>(Attached<PublisherAttachment>{process.link, std::move(*admitted)},
                                                  bus_->type(), clock_);
}

void Simulation::publish() {
  if (processes_.empty()) return;
  Process& process = *processes_[pick(processes_.size())];
  if (!process.publisher) return;
  const std::uint64_t count = chance(20) ? 1 + pick(80) : 1 + pick(6);
  const Sequence before = process.next;
  for (std::uint64_t i = 0; i < count && !model_->failed(); ++i) publish_into(process);
  say(process.name + (process.in_batch ? " batches " : " publishes ") + std::to_string(before.value()) + " to before " +
      std::to_string(process.next.value()));
}

void Simulation::publish_into(Process& process) {
  Publisher& publisher = *process.publisher;
  const std::uint64_t number = ++number_;
  const std::uint64_t waited = publisher.back_pressured();
  const std::size_t largest = options_.page_size - limits::page_header_size - frame_header_size;
  const std::uint64_t kind = pick(20);
  Published done;
  std::vector<std::byte> bytes;
  if (kind < 8) {
    bytes = trade(number);
    done = publisher.publish<TradeEvent>([number](TradeEvent& trade) { fill(trade, number); });
  } else if (kind < 12) {
    bytes = trade(number);
    done = publisher.publish(bytes);
  } else {
    // Any bytes of any size: what the type's verifier says of them is not under test.
    bytes = payload(number, kind < 17   ? 8 + pick(300)
                            : kind < 18 ? 8 + pick(largest - 8)
                            : kind < 19 ? largest
                                        : largest + 1);
    const auto claim = publisher.claim(bytes.size());
    done.status = claim.status;
    if (claim.status == PublishStatus::ok && chance(5)) return publisher.abort();
    if (claim.status == PublishStatus::ok) {
      std::memcpy(claim.payload.data(), bytes.data(), bytes.size());
      done.sequence = bus_->writer_of(publisher).commit({bus_->type().id(), Key(), 0, clock_.wall()});
    }
  }
  if (process.admitted && process.link->state() == PublisherLink::State::attached) process.ring_of = process.asked;
  const bool no_page = done.status == PublishStatus::back_pressured || done.status == PublishStatus::refused;
  if (publisher.back_pressured() != waited + no_page) model_->fail("a publisher counts its waits wrong");
  switch (done.status) {
    case PublishStatus::ok:
      if (done.sequence != process.next) {
        return model_->fail(process.name + " got sequence " + std::to_string(done.sequence.value()) + " instead of " +
                            std::to_string(process.next.value()));
      }
      process.next = process.next.next();
      if (process.in_batch) {
        process.batch.emplace_back(done.sequence, digest_of(bytes));
      } else {
        commit(process, done.sequence, digest_of(bytes));
      }
      return;
    case PublishStatus::too_large:
      if (bytes.size() <= largest && !process.in_batch) model_->fail("an event that fits a page is too large");
      if (process.in_batch) commit_batch(process);
      return;
    case PublishStatus::back_pressured:
    case PublishStatus::refused:
      if ((done.status == PublishStatus::refused) != (options_.policy == ring::StallPolicy::refuse)) {
        model_->fail("without a page the answer is " + std::string(to_string(done.status)));
      }
      return;
    case PublishStatus::disconnected:
      if (process.link->state() == PublisherLink::State::attached) model_->fail("disconnected, but attached");
      return;
    case PublishStatus::closed:
      return;
    case PublishStatus::invalid:
      return model_->fail("a good event is invalid");
  }
}

void Simulation::commit(Process& process, Sequence sequence, std::uint64_t digest) {
  const Publisher& publisher = *process.publisher;
  const bool kept = bus_->has_core() && process.ring_of == core_;
  if (kept) model_->offered_again(publisher.id(), publisher.epoch());
  model_->committed(publisher.id(), publisher.epoch(), sequence, digest, kept);
  ++totals_.committed;
}

void Simulation::begin_batch() {
  if (processes_.empty()) return;
  Process& process = *processes_[pick(processes_.size())];
  if (!process.publisher || process.in_batch) return;
  say(process.name + " begins a batch");
  process.publisher->begin_batch();
  process.in_batch = true;
}

void Simulation::end_batch() {
  if (processes_.empty()) return;
  Process& process = *processes_[pick(processes_.size())];
  if (!process.in_batch) return;
  say(process.name + " ends its batch of " + std::to_string(process.batch.size()));
  commit_batch(process);
}

void Simulation::commit_batch(Process& process) {
  process.publisher->end_batch();
  process.in_batch = false;
  for (const auto& [sequence, digest] : process.batch) commit(process, sequence, digest);
  process.batch.clear();
}

void Simulation::idle_process() {
  for (const auto& process : processes_) {
    if (!process->publisher) continue;
    process->publisher->idle();
    if (process->admitted && process->link->state() == PublisherLink::State::attached) {
      process->ring_of = process->asked;
    }
  }
}

void Simulation::kill_process() {
  if (processes_.empty()) return;
  const std::size_t i = pick(processes_.size());
  say("process " + processes_[i]->name + " dies" + (processes_[i]->in_batch ? " in its batch" : ""));
  kill(i);
}

void Simulation::kill(std::size_t i) {
  const Process& process = *processes_[i];
  if (process.stream && process.asked == core_ && bus_->has_core()) dead_streams_.push_back(*process.stream);
  processes_.erase(processes_.begin() + static_cast<std::ptrdiff_t>(i));
}

// The core sees the deaths.
void Simulation::reap() {
  for (const std::size_t stream : dead_streams_) bus_->release(stream);
  dead_streams_.clear();
}

// What it reads of its watermarks is believed.
void Simulation::follow(Process& process) {
  if (!process.publisher) return;
  const Publisher& publisher = *process.publisher;
  model_->publisher_marks(publisher.id(), publisher.epoch(), publisher.recorded_sequence(),
                          publisher.synced_sequence());
}

}  // namespace millrace::simulation
