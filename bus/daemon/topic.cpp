#include "bus/daemon/topic.hpp"

#include <algorithm>

namespace millrace::daemon {

Result<std::unique_ptr<Topic>> Topic::create(const TopicConfig& config, const schemas::EventType& type,
                                             std::vector<RingMemory> rings, wal::Writer log, std::string log_folder,
                                             std::vector<wal::ConsumerRecord> consumers) {
  std::unique_ptr<Topic> topic(new Topic(config, type, std::move(log_folder)));
  topic->log_id_ = log.log_id();
  auto marks = make_read_only_share("millrace-marks", limits::memory_page);
  if (!marks) return fail(marks.error());
  topic->marks_ = std::move(*marks);
  auto order = make_read_only_share("millrace-order", ring::order_ring_bytes(limits::order_entries));
  if (!order) return fail(order.error());
  topic->order_ = std::move(*order);
  std::vector<ring::Pages*> pages;
  for (const RingMemory& memory : rings) {
    const auto ring = ring::Ring::create(memory.bytes, config.page_bytes);
    if (!ring) return fail(ring.error().code, "topic '" + config.name + "': " + ring.error().message);
    topic->streams_.push_back(
        {memory, std::make_unique<ring::Pages>(*ring, granted_ahead(config), config.stall_policy), {}});
    pages.push_back(topic->streams_.back().pages.get());
  }
  topic->recorder_ = std::make_unique<TopicRecorder>(
      config.name, std::move(log),
      TopicRecorder::Memory{std::move(pages), topic->order_.mapping.bytes(), limits::order_entries,
                            reinterpret_cast<ring::Watermarks*>(topic->marks_.mapping.data())},
      TopicRecorder::Policies{config.stall_policy, config.log.policy, config.retention_bytes, config.retention_age,
                              config.compress_after});
  topic->consumers_ = std::make_unique<Consumers>(std::move(consumers),
                                                  *reinterpret_cast<ring::Watermarks*>(topic->marks_.mapping.data()));
  topic->set_leases();
  return topic;
}

std::optional<std::size_t> Topic::stream_for(const std::string& name) const {
  std::optional<std::size_t> free;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const Owner& owner = streams_[i].owner;
    if (owner.name == name) return i;
    // One that nobody ever had is taken before one whose last owner may come back.
    if (!owner.holds() &&
        (!free || (owner.phase == Owner::Phase::none && streams_[*free].owner.phase != Owner::Phase::none))) {
      free = i;
    }
  }
  return free;
}

void Topic::set_leases() {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    std::vector<const ring::Word*> leases{recorder_->lease(i)};
    for (const auto& [id, subscription] : subscriptions_) leases.push_back(&subscription.words().leases[i]);
    streams_[i].pages->set_leases(std::move(leases));
  }
}

Status Topic::subscribe(std::uint64_t id, Subscription subscription) {
  if (subscriptions_.size() >= config_.readers) {
    return fail(ErrorCode::exhausted, "topic '" + config_.name + "' already has " + std::to_string(config_.readers) +
                                          " shared-memory subscriptions: raise its `readers`, or use WebSocket");
  }
  auto fd = make_memfd("millrace-subscriber", limits::memory_page);
  if (!fd) return fail(fd.error());
  auto page = Mapping::map(fd->get(), 0, limits::memory_page, Access::read_write, "a subscriber's page");
  if (!page) return fail(page.error());
  subscription.attached_at = marks().topic.recorded_end.load(std::memory_order_relaxed);
  subscription.fd = std::move(*fd);
  subscription.page = std::move(*page);
  subscriptions_.emplace(id, std::move(subscription));
  set_leases();
  return {};
}

void Topic::unsubscribe(std::uint64_t id) {
  const auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  consumers_->release(id);
  const Subscription kept = std::move(it->second);  // the lease words are let go of before their memory goes
  subscriptions_.erase(it);
  set_leases();
}

void Topic::unsubscribe_all(const Incarnation& client) {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, subscription] : subscriptions_) {
    if (subscription.client == client) ids.push_back(id);
  }
  for (const std::uint64_t id : ids) unsubscribe(id);
}

std::uint64_t Topic::do_work() {
  std::uint64_t work = 0;
  for (Stream& stream : streams_) work += stream.pages->do_work();
  return work;
}

}  // namespace millrace::daemon
