#include "wal/index.hpp"

#include <cstring>

namespace millrace::wal {

Result<std::vector<IndexEntry>> build_index(SegmentReader& segment, const Bound& bound) {
  IndexBuilder index;
  Place place = begin_of(segment);
  for (;;) {
    const auto next = step(segment, place, bound, {}, Check::header);
    if (!next) return fail(next.error());
    if (std::holds_alternative<NothingYet>(*next)) return index.entries();
    if (const auto* batch = std::get_if<Batch>(&*next)) index.add(batch->header, batch->at);
  }
}

Status write_index(FileSystem& files, const std::string& folder, SegmentName name, LogId log_id, std::uint64_t end,
                   const std::vector<IndexEntry>& entries) {
  IndexHeader header{index_magic, format_version, 0, 0, log_id.bytes, name.number.value(), end, entries.size()};
  std::vector<std::byte> bytes(sizeof header + entries.size() * sizeof(IndexEntry));
  if (!entries.empty()) std::memcpy(bytes.data() + sizeof header, entries.data(), bytes.size() - sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);
  auto file = files.create(join(folder, to_index_name(name)));
  if (!file) return fail(file.error());
  return write_all(**file, bytes, {}, 0);
}

std::vector<IndexEntry> read_index(FileSystem& files, const std::string& folder, SegmentName name, LogId log_id,
                                   std::uint64_t end) {
  auto file = files.open(join(folder, to_index_name(name)), OpenMode::read);
  if (!file) return {};
  const auto size = (*file)->size();
  if (!size || *size < sizeof(IndexHeader) || *size > (16u << 20)) return {};
  std::vector<std::byte> bytes(*size);
  const auto got = (*file)->pread(bytes, 0);
  if (!got || *got != bytes.size()) return {};
  IndexHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != index_magic || header.version != format_version || header.log_id != log_id.bytes ||
      header.segment != name.number.value() || header.end != end ||
      header.count != (bytes.size() - sizeof header) / sizeof(IndexEntry) ||
      checksum_of(Bytes(bytes).subspan(checksummed_from)) != header.checksum) {
    return {};
  }
  std::vector<IndexEntry> entries(header.count);
  if (!entries.empty()) std::memcpy(entries.data(), bytes.data() + sizeof header, entries.size() * sizeof(IndexEntry));
  return entries;
}

}  // namespace millrace::wal
