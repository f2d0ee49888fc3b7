#include "wal/checkpoints.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <utility>

namespace millrace::wal {
namespace {

constexpr const char* file_name = "consumers";
constexpr const char* new_file_name = "consumers.new";

// What a table may hold: what is read back is held to it too. Errors: as store().
Status check(const std::vector<ConsumerRecord>& records) {
  if (records.size() > limits::durable_consumers) {
    return fail(ErrorCode::exhausted, "a topic has at most " + std::to_string(limits::durable_consumers) +
                                          " durable consumers; delete one that is not used any more");
  }
  std::set<std::string_view> names;
  for (const ConsumerRecord& record : records) {
    if (!limits::is_name(record.name, limits::consumer_name_size_max)) {
      return fail(ErrorCode::invalid_argument, "a durable consumer cannot be named \"" + record.name +
                                                   "\"; use 1 to 48 of the characters a-z 0-9 _ . -");
    }
    if (!names.insert(record.name).second) {
      return fail(ErrorCode::invalid_argument,
                  "two durable consumers of a topic are named \"" + record.name + "\"; store one checkpoint of each");
    }
  }
  return {};
}

struct Table {
  LogId log_id;
  std::uint64_t number = 0;
  std::vector<ConsumerRecord> records;
};

// Of the copy at the beginning of `copy`; nullopt: it is bad. Errors: unsupported.
Result<std::optional<Table>> decode(Bytes copy, const std::string& path) {
  if (copy.size() < consumers_copy_bytes) return std::nullopt;
  copy = copy.first(consumers_copy_bytes);
  ConsumersHeader header;
  std::memcpy(&header, copy.data(), sizeof header);
  if (header.magic != consumers_magic) return std::nullopt;
  // Right as version 1 but for the version: that is a flipped bit. Later versions checksum otherwise.
  const bool whole = checksum_of(copy.subspan(checksummed_from)) == header.checksum;
  if (header.version != format_version && !whole) {
    return fail(ErrorCode::unsupported, path + " has format version " + std::to_string(header.version) +
                                            ", this build reads version " + std::to_string(format_version) +
                                            "; use the millrace that wrote it");
  }
  if (!whole || header.version != format_version || header.reserved != 0 || header.count > limits::durable_consumers) {
    return std::nullopt;
  }
  Table table{LogId{header.log_id}, header.number, {}};
  for (std::size_t i = 0; i < header.count; ++i) {
    ConsumerEntry entry;
    std::memcpy(&entry, copy.data() + sizeof header + i * sizeof entry, sizeof entry);
    if (entry.name_size > entry.name.size()) return std::nullopt;
    table.records.push_back({std::string(entry.name.data(), entry.name_size), entry.generation, Run(entry.run),
                             Offset(entry.acked), WallTime{entry.updated}});
  }
  if (!check(table.records)) return std::nullopt;
  return table;
}

}  // namespace

Result<Checkpoints> Checkpoints::open(FileSystem& files, const std::string& folder, LogId log_id) {
  Checkpoints checkpoints(files, folder, log_id);
  const auto there = checkpoints.load();
  if (!there) return fail(there.error());
  if (*there) MILLRACE_TRY(checkpoints.settle());
  return checkpoints;
}

Result<std::vector<ConsumerRecord>> Checkpoints::look(FileSystem& files, const std::string& folder, LogId log_id) {
  // A copy is bad while the core writes it, and by the time the other is read that one may be in turn.
  constexpr int attempts_max = 8;
  for (int attempt = 1;; ++attempt) {
    Checkpoints checkpoints(files, folder, log_id);
    const auto there = checkpoints.load();
    if (there) return std::move(checkpoints.records_);
    if (there.error().code != ErrorCode::corrupt || attempt == attempts_max) return fail(there.error());
  }
}

Result<bool> Checkpoints::load() {
  const std::string path = join(folder_, file_name);
  const auto file = files_->open(path, OpenMode::read);
  if (!file && file.error().code == ErrorCode::not_found) return false;
  if (!file) return fail(file.error());
  std::vector<std::byte> bytes(2 * consumers_copy_bytes);
  const auto got = (*file)->pread(bytes, 0);
  if (!got) return fail(got.error());
  const Bytes there = Bytes(bytes).first(*got);
  std::array<std::optional<Table>, 2> copies;
  for (std::size_t i = 0; i < 2; ++i) {
    auto table = decode(there.subspan(std::min(there.size(), i * consumers_copy_bytes)), path);
    if (!table) return fail(table.error());
    copies[i] = std::move(*table);
  }
  if (!copies[0] && !copies[1]) {
    return fail(ErrorCode::corrupt, "both copies of the consumers' checkpoints in " + path +
                                        " are bad; restore it from a copy, or move it away: consumers then begin anew");
  }
  newest_ = !copies[0] || (copies[1] && copies[1]->number > copies[0]->number) ? 1 : 0;
  one_copy_bad_ = !copies[0] || !copies[1];
  Table& newest = *copies[newest_];
  if (newest.log_id != log_id_) {
    return fail(ErrorCode::invalid_argument, path + " belongs to the log " + to_hex(newest.log_id.bytes) +
                                                 ", not to the log " + to_hex(log_id_.bytes) +
                                                 " beside it; move it away: consumers then begin anew");
  }
  number_ = newest.number;
  records_ = std::move(newest.records);
  return true;
}

std::vector<std::byte> Checkpoints::encode(const std::vector<ConsumerRecord>& records, std::uint64_t number) const {
  std::vector<std::byte> copy(consumers_copy_bytes);
  ConsumersHeader header{consumers_magic, format_version, 0, 0, log_id_.bytes, number, records.size()};
  for (std::size_t i = 0; i < records.size(); ++i) {
    const ConsumerRecord& record = records[i];
    ConsumerEntry entry{record.generation, record.run.value(), record.acked.value(),
                        record.updated.ns, record.name.size(), {}};
    std::copy(record.name.begin(), record.name.end(), entry.name.begin());
    std::memcpy(copy.data() + sizeof header + i * sizeof entry, &entry, sizeof entry);
  }
  std::memcpy(copy.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(copy).subspan(checksummed_from));
  std::memcpy(copy.data(), &header, sizeof header);
  return copy;
}

Status Checkpoints::store(const std::vector<ConsumerRecord>& records) {
  MILLRACE_TRY(check(records));
  // Behind the last number there is none: a new file then begins at 1.
  if (number_ == 0 || number_ == std::numeric_limits<std::uint64_t>::max()) {
    MILLRACE_TRY(create(records));
  } else {
    const std::size_t older = 1 - newest_;
    MILLRACE_TRY(write_all(*file_, encode(records, number_ + 1), {}, older * consumers_copy_bytes));
    MILLRACE_TRY(file_->sync());
    newest_ = older;
    ++number_;
  }
  records_ = records;
  one_copy_bad_ = false;
  return {};
}

// The file gets its name once both copies are on the disk: so a named one without a good copy is corrupt, never half
// made. After a failure the next store makes another.
Status Checkpoints::create(const std::vector<ConsumerRecord>& records) {
  auto file = files_->create(join(folder_, new_file_name));
  if (!file) return fail(file.error());
  MILLRACE_TRY(write_all(**file, encode(records, 1), encode(records, 2), 0));
  MILLRACE_TRY((*file)->sync());
  MILLRACE_TRY(files_->rename(join(folder_, new_file_name), join(folder_, file_name)));
  MILLRACE_TRY(files_->sync_folder(folder_));
  file_ = std::move(*file);
  number_ = 2;
  newest_ = 1;
  return {};
}

// What was read may stand in the page cache alone, if the sync of the process before failed or never came: nobody may
// be told of it, nor may the other copy be written, before it and the file's name are on the disk.
Status Checkpoints::settle() {
  auto file = files_->open(join(folder_, file_name), OpenMode::read_write);
  if (!file) return fail(file.error());
  MILLRACE_TRY(write_all(**file, encode(records_, number_), {}, newest_ * consumers_copy_bytes));
  MILLRACE_TRY((*file)->sync());
  MILLRACE_TRY(files_->sync_folder(folder_));
  file_ = std::move(*file);
  return {};
}

}  // namespace millrace::wal
