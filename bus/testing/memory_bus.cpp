#include "bus/testing/memory_bus.hpp"

#include <algorithm>

#include "bus/base/assert.hpp"
#include "bus/snapshot_keys.hpp"

namespace millrace::testing {
namespace {

// A second view of the same memory, as a client would map it.
std::span<std::byte> view(const Mapping& mapping) {
  return mapping.bytes();
}

Consumers::Owner owner_of(const SubscriberAttachment& attachment) {
  return reinterpret_cast<Consumers::Owner>(attachment.page);
}

}  // namespace

MemoryBus::MemoryBus(MemoryBusOptions options, ManualClock& clock, WithoutCore)
    : options_(std::move(options)),
      clock_(clock),
      type_(registry_.find(options_.type)),
      owners_(options_.streams),
      last_names_(options_.streams) {
  MILLRACE_ASSERT(type_ != nullptr, "the type is registered");
  options_.log.keys = std::make_shared<const wal::KeyDefinition>(snapshot_keys(*type_));
}

MemoryBus::MemoryBus(MemoryBusOptions options, ManualClock& clock)
    : MemoryBus(std::move(options), clock, WithoutCore{}) {
  MILLRACE_ASSERT(start_core(), "the log opens");
}

void MemoryBus::kill_core() {
  core_->recorder.reset();  // its log is closed, as the kernel would
  core_->consumers.reset();
  core_->checkpoints.reset();
  core_.reset();
  for (auto& owner : owners_) owner.reset();
}

Status MemoryBus::start_core() {
  MILLRACE_ASSERT(core_ == nullptr, "one core a host");
  auto writer = wal::Writer::open(*options_.files, options_.folder, options_.log, clock_.wall());
  if (!writer) return fail(writer.error());
  runs_.emplace_back(writer->run(), writer->next_offset());
  auto checkpoints = wal::Checkpoints::open(*options_.files, options_.folder, writer->log_id());
  if (!checkpoints) return fail(checkpoints.error());
  if (!cores_.empty()) {
    for (const auto& pages : cores_.back()->pages) {
      MILLRACE_TRY(salvage(pages->ring(), *writer, may_lose(options_.policy, options_.log.policy), clock_.wall()));
    }
  }
  auto core = std::make_shared<Core>();
  std::vector<ring::Pages*> pages;
  for (std::uint32_t i = 0; i < options_.streams; ++i) {
    core->rings.push_back(*Mapping::anonymous(options_.ring_bytes));
    const auto ring = ring::Ring::create(core->rings.back().bytes(), options_.page_size);
    MILLRACE_ASSERT(ring, "the ring fits");
    core->pages.push_back(std::make_unique<ring::Pages>(*ring, options_.grant_ahead, options_.policy));
    pages.push_back(core->pages.back().get());
  }
  core->order = *Mapping::anonymous(ring::order_ring_bytes(options_.order_capacity));
  core->marks = *Mapping::anonymous(sizeof(ring::Watermarks));
  core->recorder = std::make_unique<TopicRecorder>(
      options_.type, std::move(*writer),
      TopicRecorder::Memory{pages, core->order.bytes(), options_.order_capacity,
                            reinterpret_cast<ring::Watermarks*>(core->marks.data())},
      TopicRecorder::Policies{options_.policy, options_.log.policy, options_.retention_bytes, options_.retention_age,
                              options_.compress_after, options_.free_space_floor});
  core->consumers.emplace(checkpoints->records(), *reinterpret_cast<ring::Watermarks*>(core->marks.data()));
  core->checkpoints.emplace(std::move(*checkpoints));
  cores_.push_back(core);
  core_ = core;
  last_names_.assign(options_.streams, {});
  set_leases();
  return {};
}

void MemoryBus::set_leases() {
  for (std::size_t i = 0; i < core_->pages.size(); ++i) {
    std::vector<const ring::Word*> leases{core_->recorder->lease(i)};
    for (const Mapping& page : core_->subscriber_pages) {
      leases.push_back(&reinterpret_cast<const ring::SubscriberPage*>(page.data())->leases[i]);
    }
    core_->pages[i]->set_leases(std::move(leases));
  }
}

std::unique_ptr<Publisher> MemoryBus::publisher(const std::string& name) {
  auto link = std::make_shared<PublisherLink>();
  auto first = attach_publisher(name, Incarnation{random_uuid_bytes()}, link);
  return std::make_unique<Publisher>(Attached<PublisherAttachment>{std::move(link), std::move(first)}, *type_, clock_);
}

std::shared_ptr<PublisherAttachment> MemoryBus::attach_publisher(const std::string& name, Incarnation incarnation,
                                                                 std::shared_ptr<PublisherLink> link) {
  const auto stream = ask(name, incarnation);
  MILLRACE_ASSERT(stream, "a stream is free");
  owners_[*stream]->link = std::move(link);
  for (;;) {
    auto attachment = admitted(*stream);
    MILLRACE_ASSERT(attachment, "the publisher is admitted");
    if (*attachment != nullptr) return std::move(*attachment);
    step();
  }
}

Result<std::size_t> MemoryBus::ask(const std::string& name, Incarnation incarnation) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i] && owners_[i]->name == name) return fail(ErrorCode::in_use, "'" + name + "' is in use");
    if (!owners_[i] && (!found || last_names_[i] == name)) found = i;
  }
  if (!found) return fail(ErrorCode::exhausted, "every stream has an owner");
  owners_[*found] = Owner{name, incarnation, std::nullopt, false, nullptr};
  last_names_[*found] = name;
  return *found;
}

Result<std::shared_ptr<PublisherAttachment>> MemoryBus::admitted(std::size_t stream) {
  Owner& owner = *owners_[stream];
  TopicRecorder& recorder = *core_->recorder;
  ring::Pages& pages = *core_->pages[stream];
  if (recorder.state() == TopicRecorder::State::failed) {
    owners_[stream].reset();
    return fail(ErrorCode::io_failed, "the topic is closed after a disk failure: " + recorder.failure());
  }
  if (!owner.admission) {
    if (!recorder.drained(stream, pages.first_page()) || !recorder.drained(owner.name)) return nullptr;
    const auto admission = recorder.admit(stream, owner.name, owner.incarnation, clock_.wall());
    if (!admission) {
      owners_[stream].reset();
      return fail(admission.error());
    }
    owner.admission = *admission;
  }
  if (!recorder.admission_synced()) return nullptr;
  pages.assign(owner.admission->publisher, owner.admission->epoch);
  owner.assigned = true;
  return std::make_shared<PublisherAttachment>(
      PublisherAttachment{{},
                          *ring::Ring::attach(view(core_->rings[stream])),
                          reinterpret_cast<const ring::Watermarks*>(core_->marks.data()),
                          static_cast<std::uint32_t>(stream),
                          owner.admission->publisher,
                          owner.admission->epoch,
                          pages.first_page(),
                          owner.admission->last_sequence,
                          options_.policy,
                          options_.folder,
                          UniqueFd(),
                          options_.files});
}

Status MemoryBus::reopen() {
  if (core_->recorder->state() == TopicRecorder::State::failed) {
    for (auto& owner : owners_) {
      if (owner && !owner->assigned) owner->admission.reset();
    }
  }
  return core_->recorder->reopen(clock_.wall());
}

void MemoryBus::release(std::size_t stream) {
  if (owners_[stream]->assigned) core_->pages[stream]->close();
  owners_[stream].reset();
}

std::shared_ptr<SubscriberAttachment> MemoryBus::attach_subscriber() {
  core_->subscriber_pages.push_back(*Mapping::anonymous(sizeof(ring::SubscriberPage)));
  set_leases();
  std::vector<ring::Ring> rings;
  for (const Mapping& ring : core_->rings) rings.push_back(*ring::Ring::attach(view(ring)));
  return std::make_shared<SubscriberAttachment>(
      SubscriberAttachment{{},
                           std::move(rings),
                           *ring::OrderReader::attach(core_->order.bytes()),
                           reinterpret_cast<const ring::Watermarks*>(core_->marks.data()),
                           reinterpret_cast<ring::SubscriberPage*>(core_->subscriber_pages.back().data()),
                           options_.folder,
                           core_->recorder->log().log_id(),
                           Run(marks().topic.run.load()),
                           std::nullopt,
                           options_.files});
}

void MemoryBus::detach_subscriber(const SubscriberAttachment& attachment) {
  for (const auto& core : cores_) {
    const auto found = std::find_if(
        core->subscriber_pages.begin(), core->subscriber_pages.end(),
        [&](const Mapping& m) { return reinterpret_cast<const ring::SubscriberPage*>(m.data()) == attachment.page; });
    if (found == core->subscriber_pages.end()) continue;
    if (core == core_) core->consumers->release(owner_of(attachment));
    const Mapping kept = std::move(*found);  // the lease words are let go of before their memory goes
    core->subscriber_pages.erase(found);
    if (core == core_) set_leases();
    return;
  }
}

Result<std::uint64_t> MemoryBus::hold(SubscriberAttachment& attachment, const std::string& consumer, bool take_over,
                                      Offset start, std::uint64_t generation) {
  Consumers::Claim claim;
  claim.name = consumer;
  claim.owner = owner_of(attachment);
  claim.page = attachment.page;
  claim.take_over = take_over;
  claim.start = start;
  claim.run = attachment.run;
  claim.generation = generation;
  const auto claimed = core_->consumers->claim(claim, clock_.wall());
  if (!claimed) return fail(claimed.error());
  attachment.consumer = ConsumerHold{&attachment.marks->consumers[claimed->slot],
                                     claimed->generation,
                                     {attachment.log_id, claimed->run, claimed->checkpoint}};
  return core_->consumers->changes();
}

Result<std::unique_ptr<Subscriber>> MemoryBus::subscribe(Level level, const Start& start, Follower::OnGap on_gap,
                                                         std::optional<Follower::Snapshot> snapshot) {
  auto link = std::make_shared<SubscriberLink>();
  subscribers_.push_back(link);
  Attached<SubscriberAttachment> attached{std::move(link), attach_subscriber()};
  if (level == Level::live) {
    return std::make_unique<Subscriber>(LiveReader(std::move(attached), std::move(on_gap)), *type_);
  }
  auto follower = Follower::open(std::move(attached), level, start, std::move(on_gap), std::move(snapshot));
  if (!follower) return fail(follower.error());
  return std::make_unique<Subscriber>(std::move(*follower), *type_);
}

void MemoryBus::step() {
  core_->recorder->do_work(clock_.wall());
  clock_.advance(std::chrono::microseconds(100));
  if (const auto ticket = core_->recorder->take_sync(clock_.monotonic())) {
    core_->recorder->complete_sync(*ticket, ticket->run());
  }
  grant();
}

bool MemoryBus::keep_house() {
  const MonotonicTime now = clock_.monotonic();
  auto chore = core_->recorder->take_housekeeping(now, clock_.wall(), true);
  if (!chore) return false;
  const Status status = std::visit([](auto& ticket) { return ticket.run(); }, *chore);
  core_->recorder->complete_housekeeping(*chore, status, now);
  return true;
}

void MemoryBus::settle() {
  const ring::Watermarks& marks = *reinterpret_cast<const ring::Watermarks*>(core_->marks.data());
  for (;;) {
    const std::uint64_t before = marks.topic.recorded_end;
    step();
    if (marks.topic.recorded_end == before && marks.topic.synced_end == before) return;
  }
}

void MemoryBus::publisher_died(const std::string& name) {
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    if (!owners_[i] || owners_[i]->name != name) continue;
    release(i);
    while (!core_->recorder->drained(i, core_->pages[i]->first_page())) step();
  }
}

void MemoryBus::grant() {
  for (const auto& pages : core_->pages) pages->do_work();
}

void MemoryBus::restart_core(const std::function<void()>& meanwhile) {
  std::vector<Owner> publishers;
  for (const auto& owner : owners_) {
    if (owner) publishers.push_back(*owner);
  }
  kill_core();
  MILLRACE_ASSERT(start_core(), "the log opens and the salvage is written");
  if (meanwhile) meanwhile();
  for (const Owner& owner : publishers) owner.link->disconnect();
  for (const auto& link : subscribers_) link->disconnect();
  for (const Owner& owner : publishers) {
    owner.link->replace(attach_publisher(owner.name, owner.incarnation, owner.link));
  }
  for (const auto& link : subscribers_) link->replace(attach_subscriber());
}

}  // namespace millrace::testing
