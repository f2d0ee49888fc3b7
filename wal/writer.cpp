#include "wal/writer.hpp"

#include <algorithm>
#include <cstring>

#include "bus/base/assert.hpp"

namespace millrace::wal {
namespace {

constexpr const char* lock_name = "lock";
constexpr const char* prepared_name = "prepared";
constexpr std::uint64_t prepare_step = 4 << 20;

}  // namespace

Status SyncTicket::run() const {
  if (!file_) return {};
  MILLRACE_TRY(file_->sync());
  if (!folder_.empty()) MILLRACE_TRY(files_->sync_folder(folder_));
  return {};
}

Result<Writer> Writer::open(FileSystem& files, const std::string& folder, const WriterOptions& options, WallTime now) {
  if (options.segment_size < 4 * header_alignment || options.segment_size % header_alignment != 0) {
    return fail(ErrorCode::invalid_argument, "segment_size must be a multiple of 4096 and at least 16384");
  }
  MILLRACE_TRY(files.make_folder(folder));
  MILLRACE_TRY(files.sync_folder(parent_of(folder)));
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
  if (state->log_id.is_nil()) state->log_id = options.log_id.value_or(LogId{random_uuid_bytes()});
  MILLRACE_TRY(writer.start(*state, state->run.next(), now));
  return writer;
}

Status Writer::start(const LogState& state, Run run, WallTime now) {
  log_id_ = state.log_id;
  run_ = run;
  publishers_ = state.publishers;
  recovered_ = state.report;
  sealed_ = state.chain;
  number_max_ = std::max(number_max_, state.number_max);
  next_offset_ = state.end.next_offset;
  record_time_ = std::max(record_time_, state.record_time);

  SegmentHeader previous{};
  if (!state.chain.empty()) {
    // All up to its end counts from now on, so it must be on the disk before the header that says so.
    auto last = files_->open(path(to_file_name(state.last)), OpenMode::read_write);
    if (!last) return fail(last.error());
    MILLRACE_TRY((*last)->sync());
    previous.previous_segment = state.last.number.value();
    previous.previous_first_offset = state.last.first_offset.value();
    previous.previous_end = state.end.at;
    previous.previous_checksum = state.end.previous;
    (void)write_index(*files_, folder_, state.last, log_id_, state.end.at, state.index);
  }
  MILLRACE_TRY(begin_segment(now, previous));
  folder_dirty_ = false;
  MILLRACE_TRY(file_->sync());
  MILLRACE_TRY(files_->sync_folder(folder_));
  synced_ = {name_.number, place_.at};
  synced_end_ = next_offset_;

  // Files that the new chain does not name: a failed writer's last segment, a half-made one.
  const auto names = list_segment_files(*files_, folder_);
  if (!names) return fail(names.error());
  for (const SegmentName name : *names) {
    if (name == name_ || std::find(sealed_.begin(), sealed_.end(), name) != sealed_.end()) continue;
    if (sealed_.empty() || name.number > sealed_.front().number) MILLRACE_TRY(files_->unlink(path(to_file_name(name))));
  }
  return {};
}

// `previous` carries the fields that name the previous segment. On an error nothing has changed, but for no_space
// after which a file without a valid header may lie there.
Status Writer::begin_segment(WallTime now, const SegmentHeader& previous) {
  auto file = take_file();
  if (!file) return fail(file.error());
  const SegmentName name{next_offset_, number_max_.next()};
  SegmentHeader header = previous;
  header.magic = segment_magic;
  header.version = format_version;
  header.log_id = log_id_.bytes;
  header.run = run_.value();
  header.segment = name.number.value();
  header.first_offset = name.first_offset.value();
  record_time_ = std::max(record_time_, now.ns);
  header.created = record_time_;
  header.publisher_count = static_cast<std::uint32_t>(publishers_.size());
  const std::uint64_t needed = sizeof header + publishers_.size() * sizeof(PublisherRecord);
  header.header_bytes =
      static_cast<std::uint32_t>((needed + header_alignment - 1) / header_alignment * header_alignment);
  std::vector<std::byte> bytes(header.header_bytes);
  for (std::size_t i = 0; i < publishers_.size(); ++i) {
    const PublisherRecord record = to_record(publishers_[i]);
    std::memcpy(bytes.data() + sizeof header + i * sizeof record, &record, sizeof record);
  }
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);

  number_max_ = name.number;
  // The header first: a file of that name never shows another segment's header.
  MILLRACE_TRY(write_all(**file, bytes, {}, 0));
  MILLRACE_TRY(files_->rename(path(prepared_name), path(to_file_name(name))));
  (*file)->unlock();
  file_ = *file;
  name_ = name;
  place_ = {header.header_bytes, next_offset_, header.checksum};
  index_.restart();
  folder_dirty_ = true;
  return {};
}

// The prepared file, or one made now: its space reserved, its blocks not yet written.
Result<std::shared_ptr<File>> Writer::take_file() {
  if (prepared_.file) return std::exchange(prepared_, {}).file;
  auto file = files_->create(path(prepared_name));
  if (!file) return fail(file.error());
  if (const auto reserved = (*file)->allocate(options_.segment_size); !reserved) {
    (void)files_->unlink(path(prepared_name));
    return fail(reserved.error());
  }
  return std::shared_ptr<File>(std::move(*file));
}

Result<bool> Writer::prepare_next_segment() {
  if (failure_) return fail(*failure_);
  if (!prepared_.file) {
    auto file = take_file();
    if (!file) return fail(file.error());
    prepared_.file = std::move(*file);
    return true;
  }
  if (prepared_.ready) return false;
  if (prepared_.written < options_.segment_size) {
    // Blocks that were written before take a later write two to three times as fast.
    static const std::vector<std::byte> zeros(prepare_step);
    const std::uint64_t size = std::min(prepare_step, options_.segment_size - prepared_.written);
    MILLRACE_TRY(write_all(*prepared_.file, Bytes(zeros).first(size), {}, prepared_.written));
    prepared_.written += size;
    return true;
  }
  MILLRACE_TRY(prepared_.file->sync());
  prepared_.ready = true;
  return false;
}

Status Writer::roll(WallTime now) {
  // A later segment proves that this one was synced, so it must be.
  if (!prepared_.file) {
    auto file = take_file();  // no space is found out before anything changes
    if (!file) return file.error().code == ErrorCode::no_space ? fail(file.error()) : poison(file.error());
    prepared_.file = std::move(*file);
  }
  const SyncTicket ticket = begin_sync();
  const Status synced = ticket.run();
  complete_sync(ticket, synced);
  if (!synced) return fail(*failure_);
  (void)write_index(*files_, folder_, name_, log_id_, place_.at, index_.entries());
  SegmentHeader previous{};
  previous.previous_segment = name_.number.value();
  previous.previous_first_offset = name_.first_offset.value();
  previous.previous_end = place_.at;
  previous.previous_checksum = place_.previous;
  const SegmentName old = name_;
  if (const auto begun = begin_segment(now, previous); !begun) return poison(begun.error());
  sealed_.push_back(old);
  // synced_ stays in the old segment: the new one's header is not on the disk yet.
  return {};
}

tl::unexpected<Error> Writer::poison(const Error& error) {
  if (!failure_) failure_ = error;
  return fail(*failure_);
}

Status Writer::make_room(std::uint64_t bytes, WallTime now) {
  if (failure_) return fail(*failure_);
  if (place_.at + bytes <= options_.segment_size) return {};
  const std::uint64_t header =
      (sizeof(SegmentHeader) + publishers_.size() * sizeof(PublisherRecord) + header_alignment - 1) / header_alignment *
      header_alignment;
  if (header + bytes > options_.segment_size) {
    return fail(ErrorCode::too_large, "a batch of " + std::to_string(bytes) + " bytes does not fit a segment of " +
                                          std::to_string(options_.segment_size) + "; raise segment_size");
  }
  return roll(now);
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
  header.synced_through = synced_.segment == name_.number ? synced_.byte : 0;
  header.bytes = static_cast<std::uint32_t>(body.size());
  header.body_checksum = checksum_of(body);
  const Bytes head = std::as_bytes(std::span(&header, 1));
  header.checksum = checksum_of(head.subspan(checksummed_from));
  if (const auto written = write_all(*file_, head, body, place_.at); !written) return poison(written.error());
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
  if (failure_ || (synced_.segment == name_.number && synced_.byte == place_.at)) {
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
  ticket.files_ = files_;
  ticket.file_ = file_;
  if (folder_dirty_) ticket.folder_ = folder_;
  ticket.segment_ = name_.number;
  ticket.bytes_ = place_.at;
  ticket.end_ = next_offset_;
  ticket.life_ = life_;
  unsynced_since_.reset();
  return ticket;
}

void Writer::complete_sync(const SyncTicket& ticket, const Status& result) {
  if (ticket.life_ != life_) return;
  if (!result) {
    (void)poison(result.error());
    return;
  }
  // A failure meanwhile closed the segment, but what this sync covered is on the disk all the same.
  const bool ahead =
      ticket.segment_ > synced_.segment || (ticket.segment_ == synced_.segment && ticket.bytes_ > synced_.byte);
  if (!ahead) return;
  synced_ = {ticket.segment_, ticket.bytes_};
  synced_end_ = std::max(synced_end_, ticket.end_);
  if (ticket.segment_ == name_.number && !ticket.folder_.empty()) folder_dirty_ = false;
}

Status Writer::sync() {
  if (failure_) return fail(*failure_);
  const SyncTicket ticket = begin_sync();
  const Status result = ticket.run();
  complete_sync(ticket, result);
  return result;
}

Status Writer::reopen_after_failure(WallTime now) {
  ++life_;
  file_.reset();
  prepared_ = {};
  const auto state = recover(*files_, folder_, synced_);
  if (!state) return poison(state.error());
  if (state->end.next_offset != synced_end_) {
    return poison({ErrorCode::corrupt, "the log " + folder_ + " lost synced events: it ends at offset " +
                                           std::to_string(state->end.next_offset.value()) + " instead of " +
                                           std::to_string(synced_end_.value()) + "; check the disk"});
  }
  const RecoveryReport first_report = recovered_;
  if (const auto started = start(*state, run_, now); !started) {
    failure_ = started.error();
    return started;
  }
  recovered_ = first_report;
  failure_.reset();
  return {};
}

Result<std::size_t> Writer::retain(std::uint64_t bytes_max) {
  const std::uint64_t kept_max = std::max<std::uint64_t>(bytes_max / options_.segment_size, 1) - 1;
  std::size_t deleted = 0;
  // The segment that holds the last synced byte stays: the chain hangs on it.
  while (sealed_.size() > kept_max && sealed_.front().number < synced_.segment) {
    const SegmentName name = sealed_.front();
    const std::string file_path = path(to_file_name(name));
    (void)files_->unlink(path(to_index_name(name)));
    bool recycled = false;
    if (options_.recycle && !prepared_.file) {
      auto file = files_->open(file_path, OpenMode::read_write);
      const auto size = file ? (*file)->size() : Result<std::uint64_t>(0);
      // Readers hold a shared lock; one that comes later finds the exclusive one, or another header.
      if (file && size && *size == options_.segment_size) {
        const auto locked = (*file)->try_lock(LockMode::exclusive);
        if (locked && *locked && files_->rename(file_path, path(prepared_name))) {
          prepared_ = {std::move(*file), options_.segment_size, true};
          recycled = true;
        }
      }
    }
    if (!recycled) MILLRACE_TRY(files_->unlink(file_path));
    sealed_.erase(sealed_.begin());
    ++deleted;
  }
  if (deleted > 0) MILLRACE_TRY(files_->sync_folder(folder_));
  return deleted;
}

}  // namespace millrace::wal
