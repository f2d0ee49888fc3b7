#include "wal/segments.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "bus/base/assert.hpp"
#include "wal/cold.hpp"

namespace millrace::wal {
namespace {

constexpr std::size_t read_ahead_min = 4096;
constexpr std::size_t header_bytes_max = 1 << 20;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::string padded(std::uint64_t value, std::size_t digits) {
  std::string text = std::to_string(value);
  return std::string(digits - std::min(digits, text.size()), '0') + text;
}

std::string stem(SegmentName name) {
  return padded(name.first_offset.value(), 20) + "-" + padded(name.number.value(), 10);
}

std::optional<SegmentName> parse_name(std::string_view text, std::string_view ending) {
  if (text.size() < 31 || text[20] != '-' || text.substr(31) != ending) return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const auto first = number(text.substr(0, 20));
  const auto count = number(text.substr(21, 10));
  if (!first || !count) return std::nullopt;
  return SegmentName{Offset(*first), SegmentNumber(*count)};
}

}  // namespace

PublisherRecord to_record(const PublisherEntry& entry) {
  MILLRACE_ASSERT(entry.name.size() <= limits::publisher_name_size_max, "a publisher's name is too long");
  PublisherRecord record{};
  record.id = entry.id.value();
  record.epoch = entry.epoch.value();
  record.incarnation = entry.incarnation.bytes;
  record.last_sequence = entry.last_sequence.value();
  record.name_size = entry.name.size();
  std::copy(entry.name.begin(), entry.name.end(), record.name.begin());
  return record;
}

Result<PublisherEntry> from_record(const PublisherRecord& record) {
  if (record.name_size > record.name.size()) {
    return fail(ErrorCode::corrupt, "a publisher's record in the log has a name that is too long");
  }
  return PublisherEntry{PublisherId(record.id), std::string(record.name.data(), record.name_size), Epoch(record.epoch),
                        Incarnation{record.incarnation}, Sequence(record.last_sequence)};
}

std::string to_file_name(SegmentName name) {
  return stem(name) + ".wal";
}

std::string to_cold_name(SegmentName name) {
  return stem(name) + ".wal.zst";
}

std::string to_index_name(SegmentName name) {
  return stem(name) + ".idx";
}

std::string to_keys_name(SegmentName name) {
  return stem(name) + ".keys";
}

std::string to_seal_name(SegmentName name) {
  return stem(name) + ".seal";
}

std::optional<SegmentName> parse_segment_name(std::string_view text) {
  auto name = parse_name(text, ".wal");
  return name ? name : parse_name(text, ".wal.zst");
}

std::optional<SegmentName> parse_seal_name(std::string_view text) {
  return parse_name(text, ".seal");
}

Result<std::vector<SegmentName>> list_segment_files(FileSystem& files, const std::string& folder) {
  auto names = files.list(folder);
  if (!names) return fail(names.error());
  std::vector<SegmentName> found;
  for (const std::string& name : *names) {
    if (const auto parsed = parse_segment_name(name)) found.push_back(*parsed);
  }
  std::sort(found.begin(), found.end(), [](SegmentName a, SegmentName b) {
    return std::pair(a.number, a.first_offset) < std::pair(b.number, b.first_offset);
  });
  found.erase(std::unique(found.begin(), found.end()), found.end());  // one that has both files
  return found;
}

Result<SegmentReader> SegmentReader::open(FileSystem& files, const std::string& folder, SegmentName name,
                                          ReadMode mode) {
  const std::string path = join(folder, to_file_name(name));
  const auto gone = [&] {
    return fail(ErrorCode::deleted, "segment " + path + " was deleted; begin at the first offset");
  };
  auto file = open_segment_file(files, folder, name);
  if (!file) return file.error().code == ErrorCode::not_found ? gone() : fail(file.error());
  const auto locked = (*file)->try_lock(LockMode::shared);
  if (!locked) return fail(locked.error());
  if (!*locked) return gone();  // it is being recycled
  SegmentReader reader;
  reader.name_ = name;
  reader.file_ = std::move(*file);
  const auto size = reader.file_->size();
  if (!size) return fail(size.error());
  reader.size_ = *size;
  if (mode == ReadMode::mapped && reader.size_ > 0 && reader.file_->native_fd() >= 0) {
    auto mapping = Mapping::map(reader.file_->native_fd(), 0, reader.size_, Access::read_only, path);
    if (!mapping) return fail(mapping.error());
    reader.mapping_ = std::move(*mapping);
  }
  const auto ours = reader.load_header();
  if (!ours) return fail(ours.error());
  // Recycled between open and lock; a file that still stands under this name has lost its header.
  if (!*ours && !open_segment_file(files, folder, name)) return gone();
  return reader;
}

Result<bool> SegmentReader::load_header() {
  auto bytes = view(0, sizeof(SegmentHeader), true, 0);
  if (!bytes) return fail(bytes.error());
  if (bytes->size() < sizeof(SegmentHeader)) return true;
  header_ = load<SegmentHeader>(bytes->data());
  if (header_.magic != segment_magic) return true;
  const std::size_t needed = sizeof(SegmentHeader) + header_.publisher_count * sizeof(PublisherRecord);
  bool whole = header_.header_bytes <= header_bytes_max && header_.header_bytes % header_alignment == 0 &&
               header_.header_bytes >= needed;
  if (whole) {
    bytes = view(0, header_.header_bytes, true, 0);
    if (!bytes) return fail(bytes.error());
    whole = bytes->size() == header_.header_bytes && checksum_of(bytes->subspan(checksummed_from)) == header_.checksum;
  }
  // Right as version 1 but for the version: that is a flipped bit. Later versions checksum otherwise.
  if (!whole && header_.version != format_version) {
    return fail(ErrorCode::unsupported, "segment " + to_file_name(name_) + " has format version " +
                                            std::to_string(header_.version) + ", this build reads version " +
                                            std::to_string(format_version) + "; use the millrace that wrote it");
  }
  if (!whole || header_.version != format_version || header_.reserved != 0) return true;
  if (header_.segment != name_.number.value() || header_.first_offset != name_.first_offset.value()) return false;
  for (std::uint32_t i = 0; i < header_.publisher_count; ++i) {
    auto entry =
        from_record(load<PublisherRecord>(bytes->data() + sizeof(SegmentHeader) + i * sizeof(PublisherRecord)));
    if (!entry) return fail(entry.error());
    publishers_.push_back(std::move(*entry));
  }
  header_valid_ = true;
  return true;
}

Result<Bytes> SegmentReader::view(std::uint64_t at, std::size_t size, bool fresh, std::size_t ahead) {
  if (mapping_) {
    if (at >= mapping_.size()) return Bytes{};
    return Bytes(mapping_.bytes().subspan(at, std::min<std::uint64_t>(size, mapping_.size() - at)));
  }
  if (fresh || at < buffer_at_ || at + size > buffer_at_ + buffer_size_) {
    const std::size_t wanted = fresh ? size : std::max(size, ahead);
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    const auto got = file_->pread(std::span(buffer_).first(wanted), at);
    if (!got) return buffer_size_ = 0, fail(got.error());
    buffer_at_ = at;
    buffer_size_ = *got;
  }
  const std::size_t skip = at - buffer_at_;
  return Bytes(buffer_).subspan(skip, std::min(size, buffer_size_ - std::min(skip, buffer_size_)));
}

Result<std::optional<Batch>> SegmentReader::batch_at(std::uint64_t at, Check check) {
  const std::size_t ahead = check == Check::whole ? ahead_ : std::min(ahead_, read_ahead_headers);
  // A reader that buffered a half-written batch must look again before it says that none is there.
  for (const bool fresh : {false, true}) {
    if (fresh && mapping_) break;
    auto bytes = view(at, sizeof(BatchHeader), fresh, ahead);
    if (!bytes) return fail(bytes.error());
    if (bytes->size() < sizeof(BatchHeader)) continue;
    Batch batch{load<BatchHeader>(bytes->data()), {}, at};
    const BatchHeader& header = batch.header;
    if (header.magic != batch_magic || header.segment != name_.number.value() || header.version != format_version ||
        header.reserved != 0 ||
        checksum_of(std::as_bytes(std::span(&header, 1)).subspan(checksummed_from)) != header.checksum ||
        (header_valid_ && header.log_id != header_.log_id) || header.bytes % 8 != 0) {
      continue;
    }
    const bool shaped = batch.kind() == BatchKind::events ? header.count > 0
                        : batch.kind() == BatchKind::publisher
                            ? header.count == 0 && header.bytes == sizeof(PublisherRecord)
                        : batch.kind() == BatchKind::gap ? header.count == 0 && header.bytes == sizeof(GapRecord)
                                                         : false;
    if (!shaped || batch.end() > size_) continue;
    if (check == Check::header) return batch;
    bytes = view(at, sizeof(BatchHeader) + header.bytes, fresh, ahead);
    if (!bytes) return fail(bytes.error());
    if (bytes->size() < sizeof(BatchHeader) + header.bytes) continue;
    batch.body = bytes->subspan(sizeof(BatchHeader));
    if (checksum_of(batch.body) == header.body_checksum) {
      ahead_ = std::min(ahead_ * 2, read_ahead_max);
      return batch;
    }
  }
  ahead_ = read_ahead_min;
  return std::nullopt;
}

Result<std::optional<Batch>> SegmentReader::find(std::uint64_t from, std::uint64_t end) {
  constexpr std::size_t step = read_ahead_max;
  end = std::min(end, size_);
  for (std::uint64_t at = (from + 7) / 8 * 8; at < end;) {
    const auto bytes = view(at, static_cast<std::size_t>(std::min<std::uint64_t>(step, end - at)), false, ahead_);
    if (!bytes) return fail(bytes.error());
    std::size_t i = 0;
    while (i + 8 <= bytes->size() && load<std::uint32_t>(bytes->data() + i) != batch_magic) i += 8;
    if (i + 8 > bytes->size()) {
      if (bytes->size() < 8) break;
      at += bytes->size() / 8 * 8;
      continue;
    }
    at += i;
    auto batch = batch_at(at);
    if (!batch || *batch) return batch;
    at += 8;
  }
  return std::nullopt;
}

Result<bool> SegmentReader::proves_synced(std::uint64_t byte, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t at = from;;) {
    const auto batch = find(at, to);
    if (!batch) return fail(batch.error());
    if (!*batch) return false;
    if ((*batch)->header.synced_through > byte) return true;
    at = (*batch)->end();
  }
}

std::string Corruption::message() const {
  return "segment " + to_file_name(segment) +
         (missing ? " is missing"
                  : " is corrupt from byte " + std::to_string(from_byte) + " to " + std::to_string(to_byte)) +
         ": events from offset " + std::to_string(from.value()) + " to before " + std::to_string(to.value()) +
         " are lost; restore the file from a copy";
}

}  // namespace millrace::wal
