// The durable consumers of a simulation, and the core's storing of what they acknowledge.
#include <algorithm>
#include <utility>

#include "bus/simulation/actors.hpp"

namespace millrace::simulation {

void Simulation::start_consumer() {
  if (!bus_->has_core() || readers_.size() >= readers_max_) return;
  auto reader = std::make_unique<Reader>();
  reader->sight.level = Level::synced;
  reader->consumer = "c" + std::to_string(pick(2));
  if (claim(*reader, chance(30))) readers_.push_back(std::move(reader));
}

// Asks this core for the name; who had it comes back under its generation. False: another has it.
bool Simulation::claim(Reader& reader, bool take_over) {
  const Offset first = bus_->recorder().first_offset();
  const Offset synced(bus_->marks().topic.synced_end.load());
  const Offset start = synced < first ? synced : first + pick(synced.value() - first.value() + 1);
  const auto views = bus_->consumers().list();
  const auto known =
      std::find_if(views.begin(), views.end(), [&](const auto& view) { return view.record.name == reader.consumer; });
  const auto holder = std::find_if(readers_.begin(), readers_.end(), [&](const auto& other) {
    const bool holds = other->claim ? other->claim->marks == &bus_->marks() && !other->claim_fenced
                                    : other->core == core_ && !other->fenced;
    return other.get() != &reader && other->consumer == reader.consumer && holds;
  });
  const bool back = reader.attachment != nullptr;
  auto attachment = bus_->attach_subscriber();
  const auto change =
      bus_->hold(*attachment, reader.consumer, take_over, start, back ? reader.attachment->consumer->generation : 0);
  // A claim that was not stored may be forgotten with its core.
  Owned& owned = owned_[reader.consumer];
  const bool must = back ? owned.claims == reader.claims : holder == readers_.end() || take_over;
  const bool may = back ? owned.begun <= reader.claims && holder == readers_.end() : must;
  if (change ? !may : must) {
    model_->fail("consumer " + reader.consumer + " is " + (change ? "given to two" : change.error().message));
  }
  if (!change) {
    bus_->detach_subscriber(*attachment);
    return false;
  }
  if (!back) reader.claims = ++owned.claims;
  if (holder != readers_.end()) ((*holder)->claim ? (*holder)->claim_fenced : (*holder)->fenced) = true;
  reader.claim = std::move(attachment);
  reader.change = *change;
  reader.claim_fenced = false;
  const Offset begin = reader.claim->consumer->checkpoint.offset;
  say("consumer " + reader.consumer + " asks for its name, " + (known == views.end() ? "a new one" : "known") +
      ", at " + std::to_string(begin.value()));
  model_->consumer_begins(reader.consumer, begin, known == views.end());
  return true;
}

// Those whose names are stored begin, or go on with the new core; the others of an earlier core ask for theirs.
void Simulation::admit_consumers() {
  if (!bus_->has_core()) return;
  for (std::size_t i = readers_.size(); i-- > 0;) {
    Reader& reader = *readers_[i];
    if (reader.consumer.empty()) continue;
    if (reader.claim && reader.claim->marks == &bus_->marks()) {
      if (bus_->consumers().stored(reader.change)) begin(i);
    } else if (reader.core != core_) {
      if (reader.claim) bus_->detach_subscriber(*reader.claim);
      reader.claim.reset();
      if (!claim(reader, false)) drop(i);
    }
  }
}

void Simulation::begin(std::size_t i) {
  Reader& reader = *readers_[i];
  reader.attachment = std::move(reader.claim);
  reader.claim.reset();
  reader.fenced = std::exchange(reader.claim_fenced, false);
  reader.core = core_;
  if (reader.subscriber) return reader.link->replace(reader.attachment);
  auto follower = Follower::open({reader.link, reader.attachment}, Level::synced, StartLatest{},
                                 [this, sight = &reader.sight](const Gap& gap) { model_->told(*sight, gap); });
  const Offset checkpoint = reader.attachment->consumer->checkpoint.offset;
  if (!follower) {
    say("consumer " + reader.consumer + " cannot begin: " + follower.error().message);
    const bool overrun = checkpoint < bus_->recorder().first_offset() && follower.error().code == ErrorCode::overrun;
    if (!overrun && !(fault_ && files_.failed())) {
      model_->fail("consumer " + reader.consumer + " cannot begin: " + follower.error().message);
    }
    return drop(i);
  }
  if (!reader.fenced) owned_[reader.consumer].begun = reader.claims;
  say("consumer " + reader.consumer + " begins at " + std::to_string(checkpoint.value()));
  reader.sight.next = follower->position().offset;
  if (reader.sight.next != checkpoint) model_->fail("consumer " + reader.consumer + " begins beside its checkpoint");
  reader.subscriber = std::make_unique<Subscriber>(std::move(*follower), bus_->type());
  reader.subscriber->verify(false);
}

void Simulation::acknowledge() {
  for (std::size_t i = readers_.size(); i-- > 0;) {
    Reader& reader = *readers_[i];
    if (reader.consumer.empty() || !reader.subscriber) continue;
    const Offset next = *reader.sight.next;
    const std::uint64_t back = pick(std::min<std::uint64_t>(next.value(), 20) + 1);
    const bool beyond = chance(3);
    const Offset end = beyond ? next.next() : Offset(next.value() - back);
    const Status acked = reader.subscriber->ack(end);
    if (acked) {
      if (beyond) model_->fail("consumer " + reader.consumer + " acknowledges what it has not read");
      // One that still has an earlier core's page does not know yet, and nobody takes what it acknowledges.
      const bool knows = reader.core == core_ && reader.link->state() == SubscriberLink::State::attached;
      if (reader.fenced && knows) model_->fail("a fenced consumer " + reader.consumer + " acknowledges");
      model_->consumer_acked(reader.consumer, end);
      continue;
    }
    if (beyond && acked.error().code == ErrorCode::invalid_argument) continue;
    if (!reader.fenced || acked.error().code != ErrorCode::fenced) {
      model_->fail("consumer " + reader.consumer + " cannot acknowledge: " + acked.error().message);
    }
    ++totals_.fenced;
    drop(i);
  }
}

void Simulation::take_store() {
  if (!bus_->has_core() || store_) return;
  store_ = bus_->consumers().take_store(clock_.wall());
}

void Simulation::run_store() {
  if (!store_ || stored_) return;
  if (step_ < count_ && chance(10)) break_disk(2);
  stored_ = bus_->checkpoints().store(*store_);
  say(*stored_ ? "checkpoints are stored" : "storing checkpoints fails");
}

void Simulation::complete_store() {
  if (!stored_) return;
  bus_->consumers().complete_store(*stored_);
  if (*stored_) ++totals_.checkpoints;
  store_.reset();
  stored_.reset();
}

}  // namespace millrace::simulation
