#include "bus/recorder/topic_recorder.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "bus/base/assert.hpp"
#include "bus/recorder/frame_run.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;

// Until housekeeping that failed is tried again; shorter where publishers wait for it.
constexpr auto pause = 1s;
constexpr auto urgent_pause = 10ms;
constexpr auto care_interval = 10ms;  // a look for some goes through all segments
// Between looks at the free space. What is deleted counts as free until the next one: readers may keep it a while.
constexpr auto space_interval = 1s;
constexpr auto edges_interval = 100ms;

}  // namespace

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
  if (writer_.unsynced_bytes() == 0) synced_ = last_;
  begin_run();
}

// In this order: who sees an end of the new run sees the run, too.
void TopicRecorder::begin_run() {
  ring::TopicMarks& topic = memory_.marks->topic;
  topic.run_begin.store(writer_.run_begin().value(), std::memory_order_release);
  topic.run.store(writer_.run().value(), std::memory_order_release);
  topic.recorded_end.store(writer_.next_offset().value(), std::memory_order_release);
  topic.synced_end.store(writer_.synced_end().value(), std::memory_order_release);
}

void TopicRecorder::announce() const {
  futex_announce(memory_.marks->topic.recorded_news);
  futex_announce(memory_.marks->topic.synced_news);
}

std::uint64_t TopicRecorder::do_work(WallTime now) {
  if (state_ == State::failed || writer_.rolling()) return 0;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < streams_.size() && state_ != State::failed; ++i) count += record(i, now);
  if (count > 0) futex_announce(memory_.marks->topic.recorded_news);
  return count;
}

std::uint64_t TopicRecorder::record(std::size_t index, WallTime now) {
  Stream& stream = streams_[index];
  const auto bytes = stream.reader.available();
  if (bytes.empty()) return 0;
  if (stream.publisher != stream.reader.publisher() || stream.epoch != stream.reader.epoch()) {
    stream.publisher = stream.reader.publisher();
    stream.epoch = stream.reader.epoch();
    stream.stopped.clear();
  }
  if (!stream.stopped.empty()) {  // its pages must go on, or its ring would never be free again
    stream.reader.consume(bytes.size());
    return 0;
  }
  // A page may change under the core: it is copied first, and only the copy is looked at.
  std::memcpy(copy_.data(), bytes.data(), bytes.size());
  Sequence& last = last_[stream.publisher];
  const FrameRun run = frame_run({copy_.data(), bytes.size()}, last, may_lose(policies_.stall, policies_.sync));
  if (run.count > 0 && !append(index, run, last, now)) return 0;
  counters_.duplicates += run.duplicates;
  if (run.problem != FrameRun::Problem::none) stop(stream, run, last);
  stream.reader.consume(bytes.size());
  if (policies_.sync == wal::SyncPolicy::none) memory_.pages[index]->hold_from(stream.reader.page());
  return run.count;
}

bool TopicRecorder::append(std::size_t index, const FrameRun& run, Sequence& last, WallTime now) {
  Stream& stream = streams_[index];
  if (run.first > last.next() && !declare_lost(index, last, Sequence(run.first.value() - 1), now)) return false;
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

bool TopicRecorder::declare_lost(std::size_t index, Sequence& last, Sequence to, WallTime now) {
  const Stream& stream = streams_[index];
  if (const Status gap = writer_.append_gap(stream.publisher, last.next(), to, 0, now); !gap) {
    return fail_with(gap.error()), false;
  }
  ring::append_loss(*memory_.marks, {stream.publisher, stream.epoch, last.next(), to});
  counters_.not_recorded += to - last;
  last = to;
  memory_.marks->streams[index].recorded_sequence.store(last.value(), std::memory_order_release);
  return true;
}

// What live readers may have seen of it from here on will never be in the log.
void TopicRecorder::stop(Stream& stream, const FrameRun& run, Sequence last) {
  ring::append_loss(*memory_.marks, {stream.publisher, stream.epoch, last.next(), ring::Loss::no_end});
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
  if (error.code == ErrorCode::not_ready) return;  // what was not recorded waits in its page
  if (error.code == ErrorCode::no_space) {
    failure_ = error.message;
    state_ = State::no_space;
    return;
  }
  close(error);
}

void TopicRecorder::close(const Error& error) {
  failure_ = error.message;
  state_ = State::failed;
  count_failure(true);
  announce();
}

void TopicRecorder::count_failure(bool failed) const {
  ring::TopicMarks& topic = memory_.marks->topic;
  if (topic.failed() != failed) topic.failures.fetch_add(1, std::memory_order_release);
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
  return sync_under_way_ || writer_.unsynced_bytes() > 0;
}

std::vector<std::string> TopicRecorder::stopped() const {
  std::vector<std::string> reasons;
  for (const Stream& stream : streams_) reasons.push_back(stream.stopped);
  return reasons;
}

std::optional<wal::SyncTicket> TopicRecorder::take_sync(MonotonicTime now, Sync when) {
  if (sync_under_way_ || state_ == State::failed) return std::nullopt;
  // A grant waits for the disk whatever the policy is: nobody may publish under it before.
  const bool at_once = when == Sync::now || admissions_ != admissions_synced_;
  if (!(at_once && unsynced()) && !writer_.sync_due(now, awaited())) return std::nullopt;
  sync_under_way_ = true;
  admissions_syncing_ = admissions_;
  for (Stream& stream : streams_) stream.syncing_page = stream.reader.page();
  syncing_ = last_;
  return writer_.begin_sync();
}

void TopicRecorder::complete_sync(const wal::SyncTicket& ticket, const Status& status) {
  // The topic was reopened meanwhile: another may be under way.
  if (writer_.is_stale(ticket)) return writer_.complete_sync(ticket, status);
  sync_under_way_ = false;
  writer_.complete_sync(ticket, status);
  if (!status) return fail_with(writer_.failure().value_or(status.error()));
  ++counters_.syncs;
  admissions_synced_ = admissions_syncing_;
  synced_ = syncing_;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    Stream& stream = streams_[i];
    stream.synced_page = stream.syncing_page;
    memory_.pages[i]->hold_from(stream.synced_page);
  }
  show_synced();
  futex_announce(memory_.marks->topic.synced_news);
}

void TopicRecorder::show_synced() {
  ring::Watermarks& marks = *memory_.marks;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    // Of whom the stream was granted to, who need not have published yet.
    const PublisherId publisher(marks.streams[i].publisher.load(std::memory_order_relaxed));
    marks.streams[i].synced_sequence.store(synced_[publisher].value(), std::memory_order_release);
  }
  marks.topic.synced_end.store(writer_.synced_end().value(), std::memory_order_release);
}

std::optional<std::vector<TopicRecorder::Unsynced>> TopicRecorder::unsynced_batches() {
  const auto order = ring::OrderReader::attach(memory_.order);
  auto next = order->find(writer_.synced_end());
  if (!next) return std::nullopt;
  std::vector<Unsynced> batches;
  for (const std::uint64_t head = order->head(); *next < head; ++*next) {
    const auto entry = order->read(*next);
    if (!entry) return std::nullopt;
    ring::Reader& reader = streams_[entry->stream].reader;
    if (!reader.go_to(entry->page, entry->begin)) return std::nullopt;
    const auto bytes = reader.available();
    if (reader.page() != entry->page || bytes.size() < entry->bytes) return std::nullopt;
    batches.push_back({*entry, {bytes.begin(), bytes.begin() + entry->bytes}});
    // Pages are their publisher's: what was recorded once is checked again.
    const FrameRun run = frame_run(batches.back().frames, Sequence(entry->first_sequence.value() - 1), false);
    if (run.problem != FrameRun::Problem::none || run.duplicates > 0 || run.count != entry->count) return std::nullopt;
  }
  return batches;
}

// What is gone is missed: the next sequence tells.
void TopicRecorder::go_back(Stream& stream, PageNumber page, std::uint32_t consumed) {
  if (page == PageNumber() || !stream.reader.go_to(page, consumed)) stream.reader.join_at_oldest();
}

// Everything is recorded once more from the first page that is not synced; duplicates drop out.
void TopicRecorder::begin_anew() {
  for (Stream& stream : streams_) {
    stream.stopped.clear();
    go_back(stream, stream.synced_page, 0);
  }
  for (ring::StreamMarks& marks : memory_.marks->streams) {
    const PublisherId publisher(marks.publisher.load(std::memory_order_relaxed));
    marks.recorded_sequence.store(last_[publisher].value(), std::memory_order_release);
  }
  order_.forget();
  begin_run();
}

// `told`: the last sequence of each publisher that was said to be recorded, or declared lost.
Status TopicRecorder::write_again(const std::vector<Unsynced>& batches, const std::map<PublisherId, Sequence>& told,
                                  WallTime now) {
  // A gap that was declared, but not synced.
  const auto declare = [this](PublisherId publisher, Sequence to, WallTime when) -> Status {
    Sequence& last = last_[publisher];
    if (last >= to) return {};
    MILLRACE_TRY(writer_.append_gap(publisher, last.next(), to, 0, when));
    last = to;
    return {};
  };
  for (const auto& [entry, frames] : batches) {
    MILLRACE_TRY(declare(entry.publisher, Sequence(entry.first_sequence.value() - 1), entry.record_time));
    const auto recorded =
        writer_.append(entry.publisher, entry.epoch, entry.first_sequence, entry.count, frames, entry.record_time);
    if (!recorded) return fail(recorded.error());
    MILLRACE_ASSERT(recorded->first_offset == entry.first_offset, "an event that is written again keeps its offset");
    last_[entry.publisher] = entry.first_sequence + (entry.count - 1);
  }
  for (const auto& [publisher, to] : told) MILLRACE_TRY(declare(publisher, to, now));
  return {};
}

Status TopicRecorder::reopen(WallTime now) {
  if (state_ != State::failed) return {};
  std::vector<std::pair<PageNumber, std::uint32_t>> places;
  for (const Stream& stream : streams_) places.emplace_back(stream.reader.page(), stream.reader.consumed());
  const auto batches = unsynced_batches();
  for (std::size_t i = 0; i < streams_.size(); ++i) go_back(streams_[i], places[i].first, places[i].second);
  const WallTime began = batches && !batches->empty() ? batches->front().entry.record_time : now;
  if (Status status = writer_.reopen_after_failure(began, batches ? wal::Rewrite::same : wal::Rewrite::anew); !status) {
    failure_ = status.error().message;
    return status;
  }
  sync_under_way_ = false;
  admissions_ = admissions_syncing_ = admissions_synced_;  // those under way were refused when the topic failed
  const std::map<PublisherId, Sequence> before = std::exchange(last_, {});
  for (const wal::PublisherEntry& entry : writer_.publishers()) last_[entry.id] = entry.last_sequence;
  synced_ = last_;  // also what the failed sync did sync
  failure_.clear();
  state_ = State::ok;
  if (!batches) {
    begin_anew();
  } else if (Status written = write_again(*batches, before, now); !written) {
    last_ = before;  // what publishers were told, for the next attempt
    close(written.error());
    return written;
  }
  show_synced();
  count_failure(false);
  announce();
  return {};
}

std::optional<TopicRecorder::Chore> TopicRecorder::take_housekeeping(MonotonicTime now, WallTime wall, bool idle) {
  if (chore_out_ || state_ == State::failed) return std::nullopt;
  writer_.set_housekeeping(wal::Housekeeping::elsewhere);
  look_at_space(now);
  if (now - edges_looked_at_ >= edges_interval) {
    edges_looked_at_ = now;
    overrun_edges_ = {};
    if (std::ranges::any_of(memory_.marks->consumers, [](const ring::ConsumerMark& mark) {
          return mark.key.load(std::memory_order_relaxed) != 0;
        })) {
      overrun_edges_ = writer_.overrun_edges(retention_facts(), retention_limits(wall));
    }
  }
  const bool urgent = writer_.roll_waits_for_file();
  // One that fails keeps the other from nothing.
  const bool may_prepare = !preparation_failed_ || now - *preparation_failed_ >= (urgent ? urgent_pause : pause);
  const bool may_delete = !deletion_failed_ || now - *deletion_failed_ >= pause;
  const bool may_care = now - care_looked_for_ >= care_interval && (!care_failed_ || now - *care_failed_ >= pause);
  // The half-made file stands beside the segment for a while: never below the floor, nor where it might not fit.
  const bool roomy = free_bytes() >= std::max(free_floor_, writer_.segment_size());
  const bool cold = policies_.compress_after.count() > 0 && roomy;
  const auto take = [&]() -> std::optional<Chore> {
    if (urgent && may_prepare && state_ != State::no_space) return writer_.take_preparation(false);
    if (may_delete) {
      // Asked anew before anything goes: another topic on the same disk may have made room since.
      if (free_bytes() < free_floor_ && writer_.has_sealed()) ask_for_space();
      if (auto deletion = writer_.take_deletion(retention_limits(wall), retention_facts())) {
        freed_ += deletion->bytes();
        return deletion;
      }
    }
    if (may_prepare) {
      if (auto preparation = writer_.take_preparation(idle)) return preparation;
    }
    if (may_care) {
      if (auto care =
              writer_.take_care(WallTime{cold ? wall.ns - policies_.compress_after.count() : INT64_MIN}, idle)) {
        return care;
      }
      care_looked_for_ = now;
    }
    return std::nullopt;
  };
  auto chore = take();
  chore_out_ = chore.has_value();
  return chore;
}

wal::RetentionLimits TopicRecorder::retention_limits(WallTime wall) const {
  wal::RetentionLimits limits;
  limits.free_floor = free_floor_;
  if (policies_.retention_bytes > 0) limits.bytes_max = policies_.retention_bytes;
  if (policies_.retention_age.count() > 0) {
    limits.oldest = WallTime{wall.ns - policies_.retention_age.count()};
    limits.age = policies_.retention_age;
  }
  return limits;
}

wal::RetentionFacts TopicRecorder::retention_facts() const {
  wal::RetentionFacts facts;
  facts.free_bytes = free_bytes();
  if (!policies_.retention_consumers) return facts;
  for (const ring::ConsumerMark& mark : memory_.marks->consumers) {
    if (mark.key.load(std::memory_order_acquire) == 0) continue;
    const Offset acked(mark.acked.load(std::memory_order_acquire));
    facts.needed = std::min(facts.needed.value_or(acked), acked);
  }
  return facts;
}

void TopicRecorder::look_at_space(MonotonicTime now) {
  if (space_looked_at_ && now - *space_looked_at_ < space_interval) return;
  space_looked_at_ = now;
  freed_ = 0;
  ask_for_space();
}

void TopicRecorder::ask_for_space() {
  const auto space = writer_.space();
  free_ = space ? space->free : wal::no_limit;
  free_floor_ = policies_.free_space_floor.value_or(space ? wal::usual_floor(space->total) : 0);
}

std::uint64_t TopicRecorder::free_bytes() const {
  return free_ == wal::no_limit ? wal::no_limit : free_ + freed_ + writer_.half_made_bytes();
}

void TopicRecorder::complete_housekeeping(const Chore& chore, const Status& status, MonotonicTime now) {
  chore_out_ = false;
  Status done;
  std::optional<MonotonicTime>* last_failed = nullptr;
  if (const auto* preparation = std::get_if<wal::PrepareTicket>(&chore)) {
    done = writer_.complete_preparation(*preparation, status);
    last_failed = &preparation_failed_;
  } else if (const auto* deletion = std::get_if<wal::DeleteTicket>(&chore)) {
    done = writer_.complete_deletion(*deletion, status);
    last_failed = &deletion_failed_;
  } else {
    const auto& care = std::get<wal::CareTicket>(chore);
    done = writer_.complete_care(care, status);
    if (done && !care.done()) return;  // what failed before may fail again further on
    last_failed = &care_failed_;
  }
  if (state_ == State::failed) return;
  std::optional<MonotonicTime>& failed = *last_failed;
  failed.reset();
  if (!preparation_failed_ && !deletion_failed_ && !care_failed_) housekeeping_failure_.clear();
  if (done) return;
  ++counters_.housekeeping_failures;
  failed = now;
  housekeeping_failure_ = done.error().message;
  const bool no_space = done.error().code == ErrorCode::no_space && writer_.roll_waits_for_file();
  if (no_space) fail_with(done.error());
  if (writer_.failure()) fail_with(*writer_.failure());
}

bool TopicRecorder::drained(std::size_t stream, PageNumber before) const {
  return streams_[stream].reader.page() >= before;
}

bool TopicRecorder::drained(const std::string& name) const {
  const auto& known = writer_.publishers();
  const auto entry =
      std::find_if(known.begin(), known.end(), [&](const auto& publisher) { return publisher.name == name; });
  if (entry == known.end()) return true;
  for (const Stream& stream : streams_) {
    const ring::Ring& ring = memory_.pages[&stream - streams_.data()]->trusted_ring();
    for (const PageNumber page : ring.listed()) {
      const auto slot = ring.slot_of(page, ring.entry(page).load(std::memory_order_acquire));
      if (page < stream.reader.page() || !slot ||
          ring.core_line(*slot).publisher.load(std::memory_order_relaxed) != entry->id.value()) {
        continue;
      }
      const std::uint32_t recorded = page == stream.reader.page() ? stream.reader.consumed() : 0;
      if (ring.extent(page, *slot).bytes > recorded) return false;
    }
  }
  return true;
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
  last_.try_emplace(entry.id, entry.last_sequence);
  const Sequence last = last_[entry.id];
  ring::StreamMarks& marks = memory_.marks->streams[stream];
  ring::append_owner(marks, {entry.id, entry.epoch}, memory_.pages[stream]->first_page());
  marks.synced_sequence.store(synced_[entry.id].value(), std::memory_order_release);
  marks.recorded_sequence.store(last.value(), std::memory_order_release);
  return Admission{entry.id, entry.epoch, last};
}

Result<std::uint64_t> salvage(const ring::Ring& ring, wal::Writer& log, bool may_lose, WallTime now) {
  std::map<PublisherId, std::pair<Epoch, Sequence>> publishers;
  for (const wal::PublisherEntry& entry : log.publishers()) publishers[entry.id] = {entry.epoch, entry.last_sequence};
  std::uint64_t saved = 0;
  for (const PageNumber page : ring.listed()) {
    const auto slot = ring.slot_of(page, ring.entry(page).load(std::memory_order_acquire));
    if (!slot) continue;
    const ring::PageCoreLine& line = ring.core_line(*slot);
    const PublisherId publisher(line.publisher.load(std::memory_order_relaxed));
    const auto known = publishers.find(publisher);
    if (known == publishers.end()) continue;
    // All of an earlier epoch was recorded before this one was granted; a later one nobody was granted.
    auto& [epoch, last] = known->second;
    if (Epoch(line.epoch.load(std::memory_order_relaxed)) != epoch) continue;
    const std::uint32_t size = ring.extent(page, *slot).bytes;
    const std::vector<std::byte> copy(ring.frames(*slot), ring.frames(*slot) + size);
    const FrameRun run = frame_run(copy, last, may_lose);
    if (run.count == 0) continue;
    if (run.first > last.next()) {
      MILLRACE_TRY(log.append_gap(publisher, last.next(), Sequence(run.first.value() - 1), 0, now));
    }
    const auto recorded = log.append(publisher, epoch, run.first, run.count, run.frames, now);
    if (!recorded) return fail(recorded.error());
    last = run.last();
    saved += run.count;
  }
  // Its publishers were perhaps told that it is synced, and may ask again.
  if (log.unsynced_bytes() > 0) MILLRACE_TRY(log.sync());
  return saved;
}

}  // namespace millrace
