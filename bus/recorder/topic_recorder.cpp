#include "bus/recorder/topic_recorder.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bus/base/assert.hpp"
#include "bus/recorder/frame_run.hpp"

namespace millrace {

TopicRecorder::TopicRecorder(std::string topic, wal::Writer writer, Memory memory, Policies policies)
    : topic_(std::move(topic)),
      writer_(std::move(writer)),
      memory_(std::move(memory)),
      policies_(policies),
      leases_(memory_.pages.size()),
      order_(memory_.order, memory_.order_capacity) {
  std::size_t capacity = 0;
  for (std::size_t i = 0; i < memory_.pages.size(); ++i) {
    const ring::Ring& ring = memory_.pages[i]->ring();
    streams_.push_back(Stream{ring::Reader(memory_.pages[i]->trusted_ring(), leases_[i])});
    capacity = std::max<std::size_t>(capacity, ring.page_capacity());
  }
  copy_.resize(capacity);
  for (const wal::PublisherEntry& entry : writer_.publishers()) last_[entry.id] = entry.last_sequence;
  memory_.marks->topic.recorded_end.store(writer_.next_offset().value(), std::memory_order_release);
  memory_.marks->topic.synced_end.store(writer_.synced_end().value(), std::memory_order_release);
}

std::uint64_t TopicRecorder::do_work(WallTime now) {
  if (state_ == State::failed) return 0;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < streams_.size(); ++i) count += record(i, now);
  return count;
}

std::uint64_t TopicRecorder::record(std::size_t index, WallTime now) {
  Stream& stream = streams_[index];
  const auto bytes = stream.reader.available();
  if (bytes.empty()) return 0;
  if (!stream.stopped.empty()) {  // its pages must go on, or its ring would never be free again
    stream.reader.consume(bytes.size());
    return 0;
  }
  // A page may change under the core: it is copied first, and only the copy is looked at.
  std::memcpy(copy_.data(), bytes.data(), bytes.size());
  Sequence& last = last_[stream.publisher];
  const FrameRun run = frame_run({copy_.data(), bytes.size()}, last, policies_.stall == ring::StallPolicy::live_only);
  if (run.count > 0 && !append(index, run, last, now)) return 0;
  counters_.duplicates += run.duplicates;
  if (run.problem != FrameRun::Problem::none) stop(stream, run, last);
  stream.reader.consume(bytes.size());
  if (!policies_.hold_until_synced) memory_.pages[index]->hold_from(stream.reader.page());
  return run.count;
}

bool TopicRecorder::append(std::size_t index, const FrameRun& run, Sequence& last, WallTime now) {
  Stream& stream = streams_[index];
  if (run.first > last.next()) {
    const Sequence lost(run.first.value() - 1);
    if (const Status gap = writer_.append_gap(stream.publisher, last.next(), lost, 0, now); !gap) {
      return fail_with(gap.error()), false;
    }
    counters_.not_recorded += lost - last;
    last = lost;
  }
  const auto recorded = writer_.append(stream.publisher, stream.epoch, run.first, run.count, run.frames, now);
  if (!recorded) return fail_with(recorded.error()), false;
  state_ = State::ok;
  last = run.last();

  ring::OrderEntry entry;
  entry.first_offset = recorded->first_offset;
  entry.first_sequence = run.first;
  entry.page = stream.reader.page();
  entry.record_time = recorded->record_time;
  entry.publisher = stream.publisher;
  entry.epoch = stream.epoch;
  entry.stream = static_cast<std::uint32_t>(index);
  entry.count = run.count;
  entry.begin = stream.reader.consumed() + static_cast<std::uint32_t>(run.begin);
  entry.bytes = static_cast<std::uint32_t>(run.frames.size());
  order_.append(entry);
  ring::Watermarks& marks = *memory_.marks;
  marks.streams[index].recorded_sequence.store(last.value(), std::memory_order_release);
  marks.topic.record_time.store(static_cast<std::uint64_t>(recorded->record_time.ns), std::memory_order_relaxed);
  marks.topic.recorded_end.store(entry.end_offset().value(), std::memory_order_release);
  counters_.events += run.count;
  counters_.bytes += run.frames.size();
  ++counters_.batches;
  return true;
}

void TopicRecorder::stop(Stream& stream, const FrameRun& run, Sequence last) {
  if (run.problem == FrameRun::Problem::malformed) {
    ++counters_.malformed;
    stream.stopped = "malformed frame behind sequence " + std::to_string(last.value());
  } else {
    ++counters_.sequence_errors;
    stream.stopped =
        "sequence_error: expected " + std::to_string(last.value() + 1) + ", found " + std::to_string(run.found.value());
  }
}

void TopicRecorder::fail_with(const Error& error) {
  failure_ = error.message;
  if (error.code == ErrorCode::no_space) {
    state_ = State::no_space;
    return;
  }
  state_ = State::failed;
  memory_.marks->topic.failed.store(1, std::memory_order_release);
}

bool TopicRecorder::awaited() const {
  if (admissions_ != admissions_synced_) return true;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const std::uint64_t wanted = memory_.pages[i]->ring().header().publisher.wanted.load(std::memory_order_relaxed);
    if (wanted > memory_.marks->streams[i].synced_sequence.load(std::memory_order_relaxed)) return true;
  }
  return false;
}

bool TopicRecorder::unsynced() const {
  return syncing_ || writer_.unsynced_bytes() > 0;
}

std::vector<std::string> TopicRecorder::stopped() const {
  std::vector<std::string> reasons;
  for (const Stream& stream : streams_) reasons.push_back(stream.stopped);
  return reasons;
}

std::optional<wal::SyncTicket> TopicRecorder::take_sync(MonotonicTime now, Sync when) {
  if (syncing_ || state_ == State::failed) return std::nullopt;
  // A grant waits for the disk whatever the policy is: nobody may publish under it before.
  const bool at_once = when == Sync::now || admissions_ != admissions_synced_;
  if (!(at_once ? unsynced() : writer_.sync_due(now, awaited()))) return std::nullopt;
  syncing_ = true;
  admissions_syncing_ = admissions_;
  for (Stream& stream : streams_) {
    stream.syncing_page = stream.reader.page();
    stream.syncing_sequence = last_[stream.publisher];
  }
  return writer_.begin_sync();
}

void TopicRecorder::complete_sync(const wal::SyncTicket& ticket, const Status& status) {
  syncing_ = false;
  writer_.complete_sync(ticket, status);
  if (!status) return fail_with(status.error());
  ++counters_.syncs;
  admissions_synced_ = admissions_syncing_;
  ring::Watermarks& marks = *memory_.marks;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    memory_.pages[i]->hold_from(streams_[i].syncing_page);
    marks.streams[i].synced_sequence.store(streams_[i].syncing_sequence.value(), std::memory_order_release);
  }
  marks.topic.synced_end.store(writer_.synced_end().value(), std::memory_order_release);
}

bool TopicRecorder::prepare() {
  const auto more = writer_.prepare_next_segment();
  if (more) return *more;
  if (more.error().code != ErrorCode::no_space) fail_with(more.error());
  return false;
}

void TopicRecorder::retain(WallTime now) {
  if (policies_.retention_bytes > 0) {
    if (const auto deleted = writer_.retain(policies_.retention_bytes); !deleted) return fail_with(deleted.error());
  }
  if (policies_.retention_age.count() > 0) {
    const auto deleted = writer_.retain_since(WallTime{now.ns - policies_.retention_age.count()});
    if (!deleted) fail_with(deleted.error());
  }
}

bool TopicRecorder::drained(std::size_t stream, PageNumber before) const {
  return streams_[stream].reader.page() >= before;
}

Result<Admission> TopicRecorder::admit(std::size_t stream, const std::string& name, Incarnation incarnation,
                                       WallTime now) {
  wal::PublisherEntry entry{};
  for (const wal::PublisherEntry& known : writer_.publishers()) {
    if (known.name == name) entry = known;
    if (entry.name.empty()) entry.id = std::max(entry.id, known.id);
  }
  if (entry.name.empty()) {
    entry = {entry.id.next(), name, Epoch(), Incarnation(), Sequence()};
  }
  if (entry.incarnation != incarnation) {
    entry.epoch = entry.epoch.next();
    entry.incarnation = incarnation;
    if (const Status status = writer_.append_publisher(entry, now); !status) {
      if (status.error().code != ErrorCode::no_space) fail_with(status.error());
      return fail(status.error());
    }
    ++admissions_;
  }
  // Whose pages come now is known from here, not from the pages: those their publisher can write to.
  Stream& admitted = streams_[stream];
  if (admitted.publisher != entry.id || admitted.epoch != entry.epoch) admitted.stopped.clear();
  admitted.publisher = entry.id;
  admitted.epoch = entry.epoch;
  admitted.reader.begin_at(memory_.pages[stream]->first_page());
  last_.try_emplace(entry.id, entry.last_sequence);
  const Sequence last = last_[entry.id];
  ring::StreamMarks& marks = memory_.marks->streams[stream];
  marks.publisher.store(entry.id.value(), std::memory_order_relaxed);
  marks.epoch.store(entry.epoch.value(), std::memory_order_relaxed);
  marks.recorded_sequence.store(last.value(), std::memory_order_release);
  return Admission{entry.id, entry.epoch, last};
}

Result<std::uint64_t> salvage(const ring::Ring& ring, wal::Writer& log, ring::StallPolicy policy, WallTime now) {
  std::map<PublisherId, std::pair<Epoch, Sequence>> publishers;
  for (const wal::PublisherEntry& entry : log.publishers()) publishers[entry.id] = {entry.epoch, entry.last_sequence};
  std::uint64_t saved = 0;
  for (const PageNumber page : ring.listed()) {
    const auto slot = ring.slot_of(page, ring.entry(page).load(std::memory_order_acquire));
    if (!slot) continue;
    const ring::PageCoreLine& line = ring.page_header(*slot).core;
    const PublisherId publisher(line.publisher.load(std::memory_order_relaxed));
    const auto known = publishers.find(publisher);
    if (known == publishers.end()) continue;
    // All of an earlier epoch was recorded before this one was granted; a later one nobody was granted.
    auto& [epoch, last] = known->second;
    if (Epoch(line.epoch.load(std::memory_order_relaxed)) != epoch) continue;
    const std::uint32_t size = ring.extent(page, *slot).bytes;
    const std::vector<std::byte> copy(ring.frames(*slot), ring.frames(*slot) + size);
    const FrameRun run = frame_run(copy, last, policy == ring::StallPolicy::live_only);
    if (run.count == 0) continue;
    if (run.first > last.next()) {
      MILLRACE_TRY(log.append_gap(publisher, last.next(), Sequence(run.first.value() - 1), 0, now));
    }
    const auto recorded = log.append(publisher, epoch, run.first, run.count, run.frames, now);
    if (!recorded) return fail(recorded.error());
    last = run.last();
    saved += run.count;
  }
  return saved;
}

}  // namespace millrace
