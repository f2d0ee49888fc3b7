#include "bus/testing/memory_bus.hpp"

#include "bus/base/assert.hpp"

namespace millrace::testing {
namespace {

// A second view of the same memory, as a client would map it.
std::span<std::byte> view(const Mapping& mapping) {
  return mapping.bytes();
}

}  // namespace

MemoryBus::MemoryBus(MemoryBusOptions options, ManualClock& clock)
    : options_(std::move(options)), clock_(clock), type_(registry_.find(options_.type)), owners_(options_.streams) {
  MILLRACE_ASSERT(type_ != nullptr, "the type is registered");
  core_ = start_core(nullptr);
}

std::shared_ptr<MemoryBus::Core> MemoryBus::start_core(const Core* dead) {
  auto core = std::make_shared<Core>();
  auto writer = wal::Writer::open(*options_.files, options_.folder, options_.log, clock_.wall());
  MILLRACE_ASSERT(writer, "the log opens");
  if (dead != nullptr) {
    for (const auto& pages : dead->pages) {
      MILLRACE_ASSERT(salvage(pages->ring(), *writer, options_.policy, clock_.wall()), "the salvage is written");
    }
  }
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
      TopicRecorder::Policies{options_.policy, options_.log.policy != wal::SyncPolicy::none, options_.retention_bytes});
  cores_.push_back(core);
  core_ = core;
  set_leases();
  return core;
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
  std::size_t stream = 0;
  while (stream < owners_.size() && owners_[stream]) ++stream;
  MILLRACE_ASSERT(stream < owners_.size(), "a stream is free");
  owners_[stream] = Owner{name, Incarnation{random_uuid_bytes()}, std::make_shared<PublisherLink>()};
  return std::make_unique<Publisher>(Attached<PublisherAttachment>{owners_[stream]->link, attach_publisher(stream)},
                                     *type_, clock_);
}

std::shared_ptr<PublisherAttachment> MemoryBus::attach_publisher(std::size_t stream) {
  const Owner& owner = *owners_[stream];
  const auto admission = core_->recorder->admit(stream, owner.name, owner.incarnation, clock_.wall());
  MILLRACE_ASSERT(admission, "the publisher is admitted");
  while (!core_->recorder->admission_synced()) step();
  core_->pages[stream]->assign(admission->publisher, admission->epoch);
  return std::make_shared<PublisherAttachment>(
      PublisherAttachment{{},
                          *ring::Ring::attach(view(core_->rings[stream])),
                          reinterpret_cast<const ring::Watermarks*>(core_->marks.data()),
                          static_cast<std::uint32_t>(stream),
                          admission->publisher,
                          admission->epoch,
                          core_->pages[stream]->first_page(),
                          admission->last_sequence,
                          options_.policy});
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
                           core_->recorder->log().run(),
                           options_.files});
}

Result<std::unique_ptr<Subscriber>> MemoryBus::subscribe(Level level, const Start& start, Follower::OnGap on_gap) {
  auto link = std::make_shared<SubscriberLink>();
  subscribers_.push_back(link);
  Attached<SubscriberAttachment> attached{std::move(link), attach_subscriber()};
  if (level == Level::live) {
    return std::make_unique<Subscriber>(LiveReader(std::move(attached), std::move(on_gap)), *type_);
  }
  auto follower = Follower::open(std::move(attached), level, start, std::move(on_gap));
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
    core_->pages[i]->close();
    while (!core_->recorder->drained(i, core_->pages[i]->first_page())) step();
    owners_[i].reset();
  }
}

void MemoryBus::grant() {
  for (const auto& pages : core_->pages) pages->do_work();
}

void MemoryBus::restart_core(const std::function<void()>& meanwhile) {
  const auto dead = core_;
  dead->recorder.reset();  // its log is closed, as the kernel would
  (void)start_core(dead.get());
  if (meanwhile) meanwhile();
  for (const auto& owner : owners_) {
    if (owner) owner->link->disconnect();
  }
  for (const auto& link : subscribers_) link->disconnect();
  for (std::size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i]) owners_[i]->link->replace(attach_publisher(i));
  }
  for (const auto& link : subscribers_) link->replace(attach_subscriber());
}

}  // namespace millrace::testing
