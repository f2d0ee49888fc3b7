// verify_seals(): see seals.hpp.
#include <algorithm>

#include "wal/chain.hpp"
#include "wal/cold.hpp"
#include "wal/seals.hpp"

namespace millrace::wal {
namespace {

std::string text(Offset offset) {
  return std::to_string(offset.value());
}

// Goes along the seals, oldest first, and compares each with its segment and with the one before.
class SealWalk {
 public:
  SealWalk(FileSystem& files, const std::string& folder, const std::function<bool()>& stop)
      : files_(files), folder_(folder), stop_(stop) {}

  Result<SealReport> walk() {
    const auto links = list_chain(files_, folder_);
    if (!links) return fail(links.error());
    const auto names = files_.list(folder_);
    if (!names) return fail(names.error());
    auto seals = sealed_segments(*names);
    if (!links->empty()) {
      // Of the segments that were deleted the last one's seal begins the chain; a crash may have left older ones.
      const auto kept = std::partition_point(
          seals.begin(), seals.end(), [&](SegmentName name) { return name.number < links->front().name.number; });
      if (kept - seals.begin() > 1) seals.erase(seals.begin(), std::prev(kept));
    }
    auto seal = seals.begin();
    for (std::size_t i = 0; i < links->size() && !stop_(); ++i) {
      const Link& link = (*links)[i];
      // Open until it is done with: its file is then not written over, whatever the log's writer deletes meanwhile.
      const auto segment = SegmentReader::open(files_, folder_, link.name, ReadMode::pread);
      if (!segment && segment.error().code == ErrorCode::deleted) {
        // Since it was listed, as were those before it. Of their seals the last one is still there.
        while (seal != seals.end() && seal->number < link.name.number) ++seal;
        previous_.reset();
        continue;
      }
      if (!segment) return fail(segment.error());
      // Of a deleted segment, or of one that is lost, which the log itself tells.
      for (; seal != seals.end() && seal->number < link.name.number; ++seal) {
        MILLRACE_TRY(take(*seal, link, nullptr, link.name.first_offset));
      }
      const bool has_one = seal != seals.end() && *seal == link.name;
      if (!link.end) continue;  // the open segment; or its successor's header is bad, which the log itself tells
      const Offset to = (*links)[i + 1].name.first_offset;
      if (has_one) {
        MILLRACE_TRY(take(*seal, link, &segment->file(), to));
        ++seal;
      } else if (seal != seals.end()) {
        wrong(link.name, to, "has no seal, though a later one has: its seal was deleted");
        previous_.reset();
      } else {
        ++report_.not_yet;
      }
    }
    return std::move(report_);
  }

 private:
  void wrong(SegmentName name, Offset to, const std::string& what) {
    report_.wrong.push_back("segment " + to_file_name(name) + " (offsets " + text(name.first_offset) + " to before " +
                            text(to) + ") " + what);
  }

  // `file`: of the sealed segment, which is that of the link; null where it is gone, and the link is what follows.
  Status take(SegmentName name, const Link& link, File* file, Offset to) {
    const auto seal = read_seal(files_, folder_, name);
    if (!seal) {
      // The seal goes when a later segment is deleted.
      const auto there = open_segment_file(files_, folder_, link.name);
      if (there || there.error().code != ErrorCode::not_found) wrong(name, to, "has a seal that is damaged");
      previous_.reset();
      return {};
    }
    if (seal->chain != chain_of(*seal)) wrong(name, to, "has a seal whose chain value is not that of its own fields");
    if (previous_ && (seal->previous_chain != previous_->chain || seal->previous_segment != previous_->segment)) {
      wrong(name, to,
            "is not chained to the seal before it, of segment " + std::to_string(previous_->segment) +
                ": one of the two was replaced");
    }
    previous_ = seal;
    report_.chain.push_back(seal->chain);
    // What was recorded before its segment is not to come back behind it.
    if (file == nullptr && seal->first_offset > to.value()) {
      wrong(name, to, "has a seal, but begins behind what follows it: that is not what it was sealed with");
    }
    if (file == nullptr) return {};
    ++report_.sealed;
    if (seal->log_id != link.log_id.bytes && link.header_valid) wrong(name, to, "has the seal of another log");
    if (seal->end != *link.end) {
      wrong(name, to,
            "ends at byte " + std::to_string(*link.end) + ", but was sealed up to byte " + std::to_string(seal->end));
    }
    const auto content = digest_of(*file, seal->end);
    if (!content) return fail(content.error());
    if (*content && **content != seal->content) {
      wrong(name, to,
            "was changed after it was sealed: the SHA-256 of its first " + std::to_string(seal->end) +
                " bytes is not the one that was sealed");
    }
    return {};
  }

  // nullopt: stopped.
  Result<std::optional<Digest>> digest_of(File& file, std::uint64_t end) {
    Sha256 sha;
    std::vector<std::byte> bytes(std::min<std::uint64_t>(end, 1 << 20));
    for (std::uint64_t at = 0; at < end;) {
      if (stop_()) return std::nullopt;
      const auto got = file.pread(std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), end - at)), at);
      if (!got) return fail(got.error());
      if (*got == 0) break;  // it is shorter: the digest will tell
      sha.add(Bytes(bytes).first(*got));
      at += *got;
    }
    return sha.digest();
  }

  FileSystem& files_;
  const std::string& folder_;
  const std::function<bool()>& stop_;
  SealReport report_;
  std::optional<Seal> previous_;
};

}  // namespace

Result<SealReport> verify_seals(FileSystem& files, const std::string& folder, const std::function<bool()>& stop) {
  return SealWalk(files, folder, stop).walk();
}

}  // namespace millrace::wal
