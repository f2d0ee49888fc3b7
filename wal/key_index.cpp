#include "wal/key_index.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::wal {
namespace {

constexpr std::uint64_t file_bytes_max = 256u << 20;

}  // namespace

Result<bool> KeyScan::go_on(std::uint64_t bytes) {
  const std::uint64_t begin = place_.at;
  while (place_.next_offset < end_) {
    if (place_.at - begin >= bytes) return true;
    const auto next = step(*segment_, place_, bound_);
    if (!next) return fail(next.error());
    if (std::holds_alternative<NothingYet>(*next)) break;
    if (const auto* corruption = std::get_if<Corruption>(&*next)) {
      return fail(ErrorCode::corrupt, corruption->message());
    }
    note(std::get<Batch>(*next));
  }
  return false;
}

void KeyScan::note(const Batch& batch) {
  if (batch.kind() != BatchKind::events) return;
  FrameCursor frames(batch.body);
  for (Offset offset(batch.header.first_offset); offset < end_; ++offset) {
    const auto frame = frames.next();
    if (!frame) return;
    const std::string_view key = keys_->of(*frame, scratch_);
    if (key.empty()) continue;
    const auto known = places_.find(key);
    if (known == places_.end()) {
      places_.emplace(key, KeyPlace{offset, batch.at});
    } else {
      known->second = {offset, batch.at};
    }
  }
}

KeysEntry KeyIndex::entry(std::size_t i) const {
  KeysEntry entry;
  std::memcpy(&entry, bytes_.data() + sizeof(KeysHeader) + i * sizeof entry, sizeof entry);
  return entry;
}

std::string_view KeyIndex::text(std::size_t i) const {
  const std::uint64_t begin = i == 0 ? 0 : entry(i - 1).text_end;
  const auto* texts = reinterpret_cast<const char*>(bytes_.data() + sizeof(KeysHeader) + count_ * sizeof(KeysEntry));
  return {texts + begin, entry(i).text_end - begin};
}

KeyPlace KeyIndex::place(std::size_t i) const {
  const KeysEntry found = entry(i);
  return {Offset(found.offset), found.byte};
}

std::optional<std::size_t> KeyIndex::find(std::string_view wanted) const {
  std::size_t begin = 0, end = count_;
  while (begin < end) {
    const std::size_t middle = begin + (end - begin) / 2;
    if (text(middle) < wanted) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin < count_ && text(begin) == wanted ? std::optional(begin) : std::nullopt;
}

// Also that every text is inside: the checksum is no proof against a file that was made up.
bool KeyIndex::ascending() const {
  std::uint64_t end = 0;
  const std::uint64_t all = bytes_.size() - sizeof(KeysHeader) - count_ * sizeof(KeysEntry);
  for (std::size_t i = 0; i < count_; ++i) {
    const std::uint64_t next = entry(i).text_end;
    if (next <= end || next > all) return false;
    end = next;
    if (i > 0 && text(i) <= text(i - 1)) return false;
  }
  return end == all;
}

Status write_key_index(FileSystem& files, const std::string& folder, const KeyScan& scan) {
  const SegmentReader& segment = scan.segment();
  const SegmentName name = segment.name();
  if (scan.next_offset() != scan.bound().next_offset) {
    return fail(ErrorCode::corrupt, "segment " + to_file_name(name) + " ends at offset " +
                                        std::to_string(scan.next_offset().value()) + ", but its successor begins at " +
                                        std::to_string(scan.bound().next_offset.value()) +
                                        "; see what is lost with millrace wal verify");
  }
  std::vector<std::pair<std::string_view, KeyPlace>> sorted(scan.places().begin(), scan.places().end());
  std::ranges::sort(sorted, {}, &std::pair<std::string_view, KeyPlace>::first);

  KeysHeader header{keys_magic,
                    format_version,
                    0,
                    0,
                    segment.header().log_id,
                    name.number.value(),
                    *scan.bound().end,
                    scan.keys().fingerprint,
                    sorted.size(),
                    0};
  std::vector<std::byte> bytes(sizeof header + sorted.size() * sizeof(KeysEntry));
  std::size_t at = sizeof header;
  for (const auto& [text, place] : sorted) {
    header.text_bytes += text.size();
    const KeysEntry entry{place.offset.value(), place.byte, header.text_bytes};
    std::memcpy(bytes.data() + at, &entry, sizeof entry);
    at += sizeof entry;
  }
  bytes.reserve(bytes.size() + header.text_bytes);
  for (const auto& [text, place] : sorted) {
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    bytes.insert(bytes.end(), begin, begin + text.size());
  }
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
  std::memcpy(bytes.data(), &header, sizeof header);
  auto file = files.create(join(folder, to_keys_name(name)));
  if (!file) return fail(file.error());
  return write_all(**file, bytes, {}, 0);
}

std::optional<KeyIndex> read_key_index(FileSystem& files, const std::string& folder, SegmentName name, LogId log_id,
                                       std::uint64_t end, std::uint64_t definition) {
  auto file = files.open(join(folder, to_keys_name(name)), OpenMode::read);
  if (!file) return std::nullopt;
  const auto size = (*file)->size();
  if (!size || *size < sizeof(KeysHeader) || *size > file_bytes_max) return std::nullopt;
  KeyIndex index;
  index.bytes_.resize(*size);
  const auto got = (*file)->pread(index.bytes_, 0);
  if (!got || *got != index.bytes_.size()) return std::nullopt;
  KeysHeader header;
  std::memcpy(&header, index.bytes_.data(), sizeof header);
  const std::uint64_t rest = *size - sizeof header;
  if (header.magic != keys_magic || header.version != format_version || header.log_id != log_id.bytes ||
      header.segment != name.number.value() || header.end != end || header.definition != definition ||
      header.count > rest / sizeof(KeysEntry) || header.text_bytes != rest - header.count * sizeof(KeysEntry) ||
      checksum_of(Bytes(index.bytes_).subspan(checksummed_from)) != header.checksum) {
    return std::nullopt;
  }
  index.count_ = header.count;
  if (!index.ascending()) return std::nullopt;
  return index;
}

}  // namespace millrace::wal
