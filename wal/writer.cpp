#include "wal/writer.hpp"

#include <algorithm>
#include <cstring>

#include "bus/base/assert.hpp"

namespace millrace::wal {
namespace {

constexpr const char* lock_name = "lock";

std::uint64_t header_size(std::size_t publishers) {
  const std::uint64_t needed = sizeof(SegmentHeader) + publishers * sizeof(PublisherRecord);
  return (needed + header_alignment - 1) / header_alignment * header_alignment;
}

}  // namespace

Result<Writer> Writer::open(FileSystem& files, const std::string& folder, const WriterOptions& options, WallTime now) {
  if (options.segment_size < 4 * header_alignment || options.segment_size % header_alignment != 0) {
    return fail(ErrorCode::invalid_argument, "segment_size must be a multiple of 4096 and at least 16384");
  }
  MILLRACE_TRY(make_folders(files, folder));
  Writer writer(files, folder, options);
  auto lock = files.create(join(folder, lock_name));
  if (!lock) return fail(lock.error());
  const auto locked = (*lock)->try_lock(LockMode::exclusive);
  if (!locked) return fail(locked.error());
  if (!*locked) {
    return fail(ErrorCode::in_use, "the log " + folder + " is being written by another process; stop it first");
  }
  writer.lock_ = std::move(*lock);
  auto state = recover(files, folder);
  if (!state) return fail(state.error());
  if (state->log_id.is_nil() && !state->chain.empty()) {
    return fail(ErrorCode::corrupt, "no header and no batch can be read in the log " + folder + ", from " +
                                        to_file_name(state->chain.name(0)) +
                                        " on; restore it from a copy, or move it away to begin a new one");
  }
  if (state->log_id.is_nil()) state->log_id = options.log_id.value_or(LogId{random_uuid_bytes()});
  MILLRACE_TRY(writer.start(*state, state->run.next(), now));
  return writer;
}

Status Writer::start(LogState& state, Run run, WallTime now) {
  log_id_ = state.log_id;
  if (run != run_) run_begin_ = state.end.next_offset;
  run_ = run;
  publishers_ = state.publishers;
  recovered_ = state.report;
  sealed_.clear();
  // Every header: whatever none of them names is cleared away below, and must be void for certain.
  const auto links = state.chain.links();
  if (!links) return fail(links.error());
  std::int64_t newest = state.record_time;
  for (auto link = links->rbegin(); link != links->rend(); ++link) {
    sealed_.push_back({link->name, WallTime{newest}, link->end});
    if (link->header_valid) newest = link->created;
  }
  std::reverse(sealed_.begin(), sealed_.end());
  number_max_ = std::max(number_max_, state.number_max);
  next_offset_ = state.end.next_offset;
  record_time_ = std::max(record_time_, state.record_time);

  SegmentHeader previous{};
  if (!sealed_.empty()) {
    auto last = SegmentReader::open(*files_, folder_, state.last, ReadMode::pread);
    if (!last) return fail(last.error());
    if (state.empty) {
      // A start that recorded nothing leaves nothing behind: the new segment takes its place in the chain.
      previous = last->header();
      sealed_.pop_back();
    } else {
      sealed_.back().end = state.end.at;
      previous.previous_segment = state.last.number.value();
      previous.previous_first_offset = state.last.first_offset.value();
      previous.previous_end = state.end.at;
      previous.previous_checksum = state.end.previous;
      // All up to its end counts from now on, so it must be on the disk before the header that says so.
      MILLRACE_TRY(write_again(state));
      (void)write_index(*files_, folder_, state.last, log_id_, state.end.at, state.index);
    }
  }
  MILLRACE_TRY(make_prepared());
  Roll roll = begin_roll(now, previous);
  MILLRACE_TRY(roll.run());
  adopt(roll);
  synced_end_ = next_offset_;

  if (!state.empty && !links->empty()) {
    auto last = files_->open(path(to_file_name(state.last)), OpenMode::read_write);
    if (last) (void)(*last)->discard(state.end.at);
  }
  rebuild_indexes(*links);
  return clear_void_files();
}

// What is not known to be synced is written once more: after a sync that failed the kernel takes for clean what the
// disk never got, and the next sync says nothing. An earlier life of this writer may have met that.
Status Writer::write_again(const LogState& state) {
  auto file = files_->open(path(to_file_name(state.last)), OpenMode::read_write);
  if (!file && file.error().code == ErrorCode::not_found) return {};  // it is compressed: that was synced whole
  if (!file) return fail(file.error());
  std::vector<std::byte> bytes(std::min<std::uint64_t>(state.end.at - state.synced_through, 1 << 20));
  for (std::uint64_t at = state.synced_through; at < state.end.at;) {
    const auto got =
        (*file)->pread(std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), state.end.at - at)), at);
    if (!got) return fail(got.error());
    if (*got == 0) break;
    MILLRACE_TRY(write_all(**file, Bytes(bytes).first(*got), {}, at));
    at += *got;
  }
  return (*file)->sync();
}

// `previous` carries the fields that name the previous segment. The file gets its name once its header is on the disk,
// and no batch before that name is: so a named file without a valid header is corrupt, never half made.
Roll Writer::begin_roll(WallTime now, const SegmentHeader& previous) {
  const SegmentName name{next_offset_, number_max_.next()};
  const std::int64_t created = std::max(record_time_, now.ns);
  SegmentHeader header{};
  header.previous_segment = previous.previous_segment;
  header.previous_first_offset = previous.previous_first_offset;
  header.previous_end = previous.previous_end;
  header.previous_checksum = previous.previous_checksum;
  header.magic = segment_magic;
  header.version = format_version;
  header.log_id = log_id_.bytes;
  header.run = run_.value();
  header.segment = name.number.value();
  header.first_offset = name.first_offset.value();
  header.created = created;
  header.publisher_count = static_cast<std::uint32_t>(publishers_.size());
  header.header_bytes = static_cast<std::uint32_t>(header_size(publishers_.size()));
  std::vector<std::byte> bytes(header.header_bytes);
  for (std::size_t i = 0; i < publishers_.size(); ++i) {
    const PublisherRecord record = to_record(publishers_[i]);
    std::memcpy(bytes.data() + sizeof header + i * sizeof record, &record, sizeof record);
  }
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);

  number_max_ = name.number;  // never used twice, whatever becomes of this one
  Roll roll;
  roll.files = files_;
  roll.folder = folder_;
  roll.prepared = prepared_name();
  roll.file = std::exchange(prepared_, {}).file;
  roll.name = name;
  roll.header = std::move(bytes);
  roll.created = created;
  roll.begin = {header.header_bytes, next_offset_, header.checksum};
  return roll;
}

void Writer::adopt(const Roll& roll) {
  file_ = roll.file;
  record_time_ = roll.created;
  name_ = roll.name;
  place_ = roll.begin;
  synced_ = {name_.number, place_.at};
  index_.restart();
}

Status Writer::roll(WallTime now) {
  if (const Status made = make_prepared(); !made) {  // no space is found out before anything changes
    return made.error().code == ErrorCode::no_space ? made : poison(made.error());
  }
  roll_wanted_ = now;
  const SyncTicket ticket = begin_sync();
  const Status rolled = ticket.run();
  complete_sync(ticket, rolled);
  if (failure_) return fail(*failure_);
  return rolled;
}

tl::unexpected<Error> Writer::poison(const Error& error) {
  // no_space says that nothing changed and that trying again may help. Neither is true any more.
  if (!failure_) failure_ = {error.code == ErrorCode::no_space ? ErrorCode::io_failed : error.code, error.message};
  return fail(*failure_);
}

Status Writer::make_room(std::uint64_t bytes, WallTime now) {
  if (failure_) return fail(*failure_);
  if (!rolling_ && place_.at + bytes <= options_.segment_size) return {};
  if (header_size(publishers_.size()) + bytes > options_.segment_size) {
    return fail(ErrorCode::too_large, "a batch of " + std::to_string(bytes) + " bytes does not fit a segment of " +
                                          std::to_string(options_.segment_size) + "; raise segment_size");
  }
  if (housekeeping_ == Housekeeping::here && !rolling_ && !preparing_) return roll(now);
  if (!rolling_) roll_wanted_ = now;
  return fail(ErrorCode::not_ready, "the next segment of the log " + folder_ + " is not begun yet; try again");
}

Status Writer::write(BatchHeader header, Bytes body, WallTime now) {
  MILLRACE_ASSERT(body.size() % 8 == 0, "a batch's body is a multiple of 8 bytes");
  MILLRACE_TRY(make_room(sizeof header + body.size(), now));
  header.magic = batch_magic;
  header.version = format_version;
  header.log_id = log_id_.bytes;
  header.run = run_.value();
  header.segment = name_.number.value();
  header.first_offset = next_offset_.value();
  header.record_time = std::max(record_time_, now.ns);
  header.previous = place_.previous;
  header.synced_through = synced_.byte;
  header.bytes = static_cast<std::uint32_t>(body.size());
  header.body_checksum = checksum_of(body);
  const Bytes head = std::as_bytes(std::span(&header, 1));
  header.checksum = checksum_of(head.subspan(checksummed_from));
  if (const auto written = write_all(**file_, head, body, place_.at); !written) return poison(written.error());
  index_.add(header, place_.at);
  record_time_ = header.record_time;
  next_offset_ = next_offset_ + header.count;
  place_ = {place_.at + sizeof header + body.size(), next_offset_, header.checksum};
  return {};
}

Result<Recorded> Writer::append(PublisherId publisher, Epoch epoch, Sequence first, std::uint32_t count, Bytes frames,
                                WallTime now) {
  PublisherEntry* known = find_publisher(publishers_, publisher);
  if (known == nullptr || known->epoch != epoch) {
    return fail(ErrorCode::invalid_argument, "publisher " + std::to_string(publisher.value()) + " epoch " +
                                                 std::to_string(epoch.value()) + " was not granted in this log");
  }
  if (first != known->last_sequence.next()) {
    return fail(ErrorCode::sequence_error, "publisher " + known->name + " recorded up to sequence " +
                                               std::to_string(known->last_sequence.value()) +
                                               ", the next batch begins at " + std::to_string(first.value()) +
                                               "; append the gap first");
  }
  if (count == 0) return fail(ErrorCode::invalid_argument, "a batch without events cannot be appended");
  BatchHeader header{};
  header.kind = static_cast<std::uint32_t>(BatchKind::events);
  header.publisher = publisher.value();
  header.epoch = epoch.value();
  header.first_sequence = first.value();
  header.count = count;
  MILLRACE_TRY(write(header, frames, now));
  known->last_sequence = first + (count - 1);
  return Recorded{Offset(next_offset_.value() - count), count, WallTime{record_time_}};
}

Status Writer::append_publisher(const PublisherEntry& entry, WallTime now) {
  if (entry.name.empty() || entry.name.size() > limits::publisher_name_size_max || entry.id == PublisherId(0)) {
    return fail(ErrorCode::invalid_argument, "a publisher needs an id and a name of at most 48 bytes");
  }
  BatchHeader header{};
  header.kind = static_cast<std::uint32_t>(BatchKind::publisher);
  header.publisher = entry.id.value();
  header.epoch = entry.epoch.value();
  header.first_sequence = entry.last_sequence.next().value();
  const PublisherRecord record = to_record(entry);
  MILLRACE_TRY(write(header, std::as_bytes(std::span(&record, 1)), now));
  if (PublisherEntry* known = find_publisher(publishers_, entry.id)) {
    *known = entry;
  } else {
    publishers_.push_back(entry);
  }
  return {};
}

Status Writer::append_gap(PublisherId publisher, Sequence from, Sequence to, std::uint32_t reason, WallTime now) {
  PublisherEntry* known = find_publisher(publishers_, publisher);
  if (known == nullptr || from != known->last_sequence.next() || to < from) {
    return fail(ErrorCode::sequence_error, "a gap must begin behind the publisher's last recorded sequence");
  }
  BatchHeader header{};
  header.kind = static_cast<std::uint32_t>(BatchKind::gap);
  header.publisher = publisher.value();
  header.epoch = known->epoch.value();
  header.first_sequence = from.value();
  const GapRecord record{from.value(), to.value(), reason, 0};
  MILLRACE_TRY(write(header, std::as_bytes(std::span(&record, 1)), now));
  known->last_sequence = to;
  return {};
}

bool Writer::sync_due(MonotonicTime now, bool somebody_waits) {
  if (!failure_ && roll_wanted_ && prepared_.file) return true;
  if (failure_ || synced_.byte == place_.at) {
    unsynced_since_.reset();
    return false;
  }
  if (!unsynced_since_) unsynced_since_ = now;
  switch (options_.policy) {
    case SyncPolicy::always:
      return somebody_waits || unsynced_bytes() >= options_.linger_bytes || now - *unsynced_since_ >= options_.linger;
    case SyncPolicy::interval:
      return now - *unsynced_since_ >= options_.interval;
    case SyncPolicy::none:
      return false;
  }
  return false;
}

SyncTicket Writer::begin_sync() {
  SyncTicket ticket;
  ticket.file_ = file_;
  ticket.segment_ = name_.number;
  ticket.bytes_ = place_.at;
  ticket.end_ = next_offset_;
  ticket.life_ = life_;
  unsynced_since_.reset();
  if (failure_ || !roll_wanted_ || !prepared_.file) return ticket;
  SegmentHeader previous{};
  previous.previous_segment = name_.number.value();
  previous.previous_first_offset = name_.first_offset.value();
  previous.previous_end = place_.at;
  previous.previous_checksum = place_.previous;
  ticket.roll_ = std::make_shared<Roll>(begin_roll(*roll_wanted_, previous));
  ticket.roll_->old = name_;
  ticket.roll_->old_end = place_.at;
  ticket.roll_->log_id = log_id_;
  ticket.roll_->old_index = index_.entries();
  roll_wanted_.reset();
  rolling_ = true;
  return ticket;
}

void Writer::complete_sync(const SyncTicket& ticket, const Status& result) {
  const Roll* roll = ticket.roll_.get();
  if (is_stale(ticket)) {
    if (roll != nullptr) roll->undo();
    return;
  }
  if (roll != nullptr) rolling_ = false;
  // A failure meanwhile closed the segment, but what this sync covered is on the disk all the same.
  // One from before the roll tells nothing new: the roll synced all of that segment.
  const bool synced = result || (roll != nullptr && roll->old_synced);
  if (synced && ticket.segment_ == synced_.segment && ticket.bytes_ > synced_.byte) {
    synced_.byte = ticket.bytes_;
    synced_end_ = ticket.end_;
  }
  if (!result) {
    const bool unchanged = synced && !roll->named && result.error().code == ErrorCode::no_space;
    if (!unchanged) (void)poison(result.error());
  } else if (roll != nullptr) {
    sealed_.push_back({name_, WallTime{record_time_}, roll->old_end, options_.segment_size});
    count_sealed();
    adopt(*roll);
  }
}

Status Writer::sync() {
  if (failure_) return fail(*failure_);
  const SyncTicket ticket = begin_sync();
  const Status result = ticket.run();
  complete_sync(ticket, result);
  return result;
}

Status Writer::reopen_after_failure(WallTime now, Rewrite rewrite) {
  ++life_;
  file_.reset();
  prepared_ = {};
  preparing_ = rolling_ = deletion_out_ = false;
  preparations_failed_ = 0;
  roll_wanted_.reset();
  deleting_.reset();
  care_ = {};
  housekeeping_ = Housekeeping::here;
  auto state = recover(*files_, folder_, synced_);
  if (!state) return poison(state.error());
  if (state->end.next_offset != synced_end_) {
    return poison({ErrorCode::corrupt, "the log " + folder_ + " lost synced events: it ends at offset " +
                                           std::to_string(state->end.next_offset.value()) + " instead of " +
                                           std::to_string(synced_end_.value()) + "; check the disk"});
  }
  const RecoveryReport first_report = recovered_;
  if (rewrite == Rewrite::same) record_time_ = state->record_time;
  if (const auto started = start(*state, rewrite == Rewrite::same ? run_ : run_.next(), now); !started) {
    failure_ = started.error();
    return started;
  }
  recovered_ = first_report;
  failure_.reset();
  return {};
}

}  // namespace millrace::wal
