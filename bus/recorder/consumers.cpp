#include "bus/recorder/consumers.hpp"

#include <algorithm>

namespace millrace {
namespace {

tl::unexpected<Error> unknown(const std::string& name) {
  return fail(ErrorCode::not_found,
              "no durable consumer '" + name + "'; `millrace consumers list` shows those there are");
}

}  // namespace

Consumers::Consumers(std::vector<wal::ConsumerRecord> records, ring::Watermarks& marks) : marks_(marks) {
  for (std::size_t i = 0; i < records.size() && i < limits::durable_consumers; ++i) {
    const Offset acked = records[i].acked;
    consumers_[i] = {std::move(records[i]), acked, true, 0, nullptr, 0};
    show(i);
  }
}

std::optional<std::size_t> Consumers::find(const std::string& name) const {
  for (const auto& [slot, consumer] : consumers_) {
    if (consumer.record.name == name) return slot;
  }
  return std::nullopt;
}

// The key last: who finds it finds the rest.
void Consumers::show(std::size_t slot) {
  const Consumer& consumer = consumers_.at(slot);
  ring::ConsumerMark& mark = marks_.consumers[slot];
  mark.generation.store(consumer.record.generation, std::memory_order_release);
  if (!consumer.stored) return;
  mark.acked.store(consumer.shown.value(), std::memory_order_release);
  mark.key.store(key_of(consumer.record.name).value(), std::memory_order_release);
}

Result<Consumers::Claimed> Consumers::claim(const Claim& claim, WallTime now) {
  if (!limits::is_name(claim.name, limits::consumer_name_size_max)) {
    return fail(ErrorCode::invalid_argument, "a consumer's name has 1 to " +
                                                 std::to_string(limits::consumer_name_size_max) +
                                                 " of a-z 0-9 _ - . ; this is '" + claim.name + "'");
  }
  auto slot = find(claim.name);
  const bool back = claim.generation != 0;
  if (back && (!slot || consumers_[*slot].record.generation != claim.generation)) {
    return fail(ErrorCode::fenced,
                "consumer '" + claim.name + "' has gone to another process, was reset or deleted: subscribe anew");
  }
  if (!slot) {
    slot = 0;
    while (consumers_.contains(*slot)) ++*slot;
    if (*slot == limits::durable_consumers) {
      return fail(ErrorCode::exhausted, "the topic already has " + std::to_string(limits::durable_consumers) +
                                            " durable consumers: delete those that are not used any more");
    }
    consumers_[*slot].record = {claim.name, 0, claim.run, claim.start, now};
    consumers_[*slot].shown = claim.start;
  }
  Consumer& consumer = consumers_[*slot];
  if (consumer.owner != 0 && !claim.take_over && !back) {
    return fail(ErrorCode::in_use, "consumer '" + claim.name + "' is held by process " + std::to_string(consumer.pid) +
                                       ": end it, or take over");
  }
  if (consumer.owner != 0) take_acked(consumer, now);
  if (!back) ++consumer.record.generation;
  consumer.owner = claim.owner;
  consumer.page = claim.page;
  consumer.pid = claim.pid;
  show(*slot);  // fences the one before, from now on
  change();
  return Claimed{*slot, consumer.record.generation, consumer.record.run, consumer.record.acked};
}

void Consumers::release(Owner owner) {
  for (auto& [slot, consumer] : consumers_) {
    if (consumer.owner != owner) continue;
    take_acked(consumer, consumer.record.updated);
    consumer.owner = 0;
    consumer.page = nullptr;
    consumer.pid = 0;
  }
}

Status Consumers::reset(const std::string& name, Offset offset, Run run, WallTime now) {
  const auto slot = find(name);
  if (!slot) return unknown(name);
  Consumer& consumer = consumers_[*slot];
  consumer.owner = 0;
  consumer.page = nullptr;
  consumer.pid = 0;
  consumer.record = {name, consumer.record.generation + 1, run, offset, now};
  storing_acked_.erase(*slot);  // what is being stored is of before
  show(*slot);
  change();
  return {};
}

Status Consumers::remove(const std::string& name) {
  const auto slot = find(name);
  if (!slot) return unknown(name);
  if (consumers_[*slot].owner != 0) {
    return fail(ErrorCode::in_use, "consumer '" + name + "' is held by process " +
                                       std::to_string(consumers_[*slot].pid) + ": end it first");
  }
  marks_.consumers[*slot].key.store(0, std::memory_order_release);
  consumers_.erase(*slot);
  storing_acked_.erase(*slot);
  change();
  return {};
}

// What is acknowledged beyond the synced end waits until that has come so far.
void Consumers::take_acked(Consumer& consumer, WallTime now) {
  const Offset synced(marks_.topic.synced_end.load(std::memory_order_acquire));
  const Offset acked = std::min(Offset(consumer.page->state.acked.load(std::memory_order_acquire)), synced);
  if (acked <= consumer.record.acked) return;
  consumer.record.acked = acked;
  consumer.record.run = Run(marks_.topic.run.load(std::memory_order_relaxed));
  consumer.record.updated = now;
  dirty_ = true;
}

std::optional<std::vector<wal::ConsumerRecord>> Consumers::take_store(WallTime now) {
  for (auto& [slot, consumer] : consumers_) {
    if (consumer.page != nullptr) take_acked(consumer, now);
  }
  if (storing_ || !dirty_) return std::nullopt;
  dirty_ = false;
  storing_ = true;
  storing_changes_ = changes_;
  storing_acked_.clear();
  std::vector<wal::ConsumerRecord> records;
  for (const auto& [slot, consumer] : consumers_) {
    records.push_back(consumer.record);
    storing_acked_[slot] = consumer.record.acked;
  }
  return records;
}

void Consumers::complete_store(const Status& status) {
  storing_ = false;
  failure_ = status ? std::string() : status.error().message;
  if (!status) {
    dirty_ = true;
    return;
  }
  stored_changes_ = storing_changes_;
  for (const auto& [slot, acked] : storing_acked_) {
    const auto it = consumers_.find(slot);
    if (it == consumers_.end()) continue;
    it->second.shown = acked;
    it->second.stored = true;
    show(slot);
  }
  futex_announce(marks_.topic.consumed_news);
}

std::vector<Consumers::View> Consumers::list() const {
  std::vector<View> views;
  for (const auto& [slot, consumer] : consumers_) {
    views.push_back({consumer.record, consumer.pid});
    views.back().record.acked = consumer.shown;
  }
  return views;
}

}  // namespace millrace
