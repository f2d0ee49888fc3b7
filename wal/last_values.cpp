#include "wal/last_values.hpp"

#include <algorithm>
#include <unordered_set>

#include "wal/chain.hpp"

namespace millrace::wal {
namespace {

constexpr int attempts_max = 8;

Result<std::vector<Link>> chain_of(FileSystem& files, const std::string& folder) {
  auto chain = list_chain(files, folder);
  for (int attempt = 0; !chain && chain.error().code == ErrorCode::deleted && attempt < attempts_max; ++attempt) {
    chain = list_chain(files, folder);  // the newest was recycled since the folder was listed
  }
  if (chain && chain->empty()) {
    return fail(ErrorCode::not_found, "there is no log in " + folder + " yet; start its recorder");
  }
  return chain;
}

// From the segment that holds the end to the oldest, for keys that no newer one had.
class Walk {
 public:
  Walk(FileSystem& files, const std::string& folder, Offset end, const KeyDefinition& keys,
       std::optional<std::string_view> key, ReadMode mode)
      : files_(files), folder_(folder), end_(end), keys_(keys), key_(key), mode_(mode) {}

  Status run(const std::vector<Link>& chain) {
    std::size_t i = chain.size();
    while (i > 0 && chain[i - 1].name.first_offset >= end_) --i;
    for (const std::size_t first = i; i-- > 0 && !done();) {
      const Link* next = i + 1 < chain.size() ? &chain[i + 1] : nullptr;
      const Status passed = pass(chain[i], next);
      if (passed) continue;
      // Segments are deleted oldest first: with one goes all that is left to look at. Not so with the newest of them.
      if (passed.error().code == ErrorCode::deleted && i + 1 < first) return {};
      return passed;
    }
    return {};
  }
  std::vector<LastValue> take() {
    std::ranges::sort(values_, {}, &LastValue::offset);
    return std::move(values_);
  }

 private:
  struct Wanted {
    std::string key;
    KeyPlace place;
  };

  [[nodiscard]] bool done() const { return key_ && !values_.empty(); }
  [[nodiscard]] bool wanted(std::string_view key) const { return (!key_ || key == *key_) && !seen_.contains(key); }

  // `next`: the segment that continues this one; null: none does.
  Status pass(const Link& link, const Link* next) {
    const bool whole = next != nullptr && link.end && next->name.first_offset <= end_;
    if (whole && !next->missing && link.header_valid) {
      const auto index = read_key_index(files_, folder_, link.name, link.log_id, *link.end, keys_.fingerprint);
      if (index) {
        const auto fetched = by_index(link.name, *index);
        if (!fetched) return fail(fetched.error());
        if (*fetched) return {};
      }
    }
    auto segment = SegmentReader::open(files_, folder_, link.name, mode_);
    if (!segment) return fail(segment.error());
    Bound bound;
    if (link.end && next != nullptr) bound = {link.end, next->name.first_offset};
    KeyScan scan(*segment, keys_, bound, end_);
    const auto scanned = scan.go_on();
    if (!scanned) return fail(scanned.error());
    if (next != nullptr && scan.next_offset() < end_) {
      Place place;
      place.next_offset = scan.next_offset();
      place.at = link.end.value_or(0);
      if (const auto lost = lost_between(link.name, place, *next)) return fail(ErrorCode::corrupt, lost->message());
    }
    std::vector<Wanted> places;
    for (const auto& [text, place] : scan.places()) {
      if (wanted(text)) places.push_back({text, place});
    }
    const auto fetched = fetch(*segment, std::move(places));
    if (!fetched) return fail(fetched.error());
    if (*fetched) return {};
    return fail(ErrorCode::corrupt, "segment " + to_file_name(link.name) +
                                        " reads differently each time: look after its disk, or restore it from a copy");
  }

  // False: the index is not right.
  Result<bool> by_index(SegmentName name, const KeyIndex& index) {
    std::vector<Wanted> places;
    if (key_) {
      const auto found = index.find(*key_);
      if (found) places.push_back({std::string(*key_), index.place(*found)});
    } else {
      for (std::size_t i = 0; i < index.size(); ++i) {
        if (wanted(index.text(i))) places.push_back({std::string(index.text(i)), index.place(i)});
      }
    }
    if (places.empty()) return true;
    auto segment = SegmentReader::open(files_, folder_, name, mode_);
    if (!segment) return fail(segment.error());
    return fetch(*segment, std::move(places));
  }

  // Takes the values that lie at `places`, if every one does; else none of them.
  Result<bool> fetch(SegmentReader& segment, std::vector<Wanted> places) {
    std::ranges::sort(places, {}, [](const Wanted& one) { return one.place.offset; });
    std::vector<LastValue> found;
    found.reserve(places.size());
    std::string scratch;
    for (auto at = places.begin(); at != places.end();) {
      const std::uint64_t byte = at->place.byte;
      const auto batch = segment.batch_at(byte, Check::alone);
      if (!batch) return fail(batch.error());
      if (!*batch || (*batch)->kind() != BatchKind::events) return false;
      const BatchHeader& header = (*batch)->header;
      FrameCursor frames((*batch)->body);
      for (Offset offset(header.first_offset); at != places.end() && at->place.byte == byte; ++offset) {
        const auto frame = frames.next();
        if (!frame || at->place.offset < offset) return false;
        if (at->place.offset != offset) continue;
        if (keys_.of(*frame, scratch) != at->key) return false;
        found.push_back({offset,
                         PublisherId(header.publisher),
                         Epoch(header.epoch),
                         WallTime{header.record_time},
                         {frame->bytes().begin(), frame->bytes().end()}});
        ++at;
      }
    }
    for (Wanted& each : places) seen_.insert(std::move(each.key));
    values_.insert(values_.end(), std::move_iterator(found.begin()), std::move_iterator(found.end()));
    return true;
  }

  FileSystem& files_;
  const std::string& folder_;
  Offset end_;
  const KeyDefinition& keys_;
  std::optional<std::string_view> key_;
  ReadMode mode_;
  std::unordered_set<std::string, TextHash, std::equal_to<>> seen_;
  std::vector<LastValue> values_;
};

}  // namespace

Result<std::vector<LastValue>> last_values(FileSystem& files, const std::string& folder, Offset end,
                                           const KeyDefinition& keys, std::optional<std::string_view> key,
                                           ReadMode mode) {
  for (int attempt = 0;; ++attempt) {
    const auto chain = chain_of(files, folder);
    if (!chain) return fail(chain.error());
    const Offset first = chain->front().name.first_offset;
    if (end < first) {
      return fail(ErrorCode::deleted, "there is no snapshot as of offset " + std::to_string(end.value()) +
                                          ": the log was deleted up to offset " + std::to_string(first.value()) +
                                          "; ask for one as of there or later");
    }
    Walk walk(files, folder, end, keys, key, mode);
    const Status walked = walk.run(*chain);
    if (walked) return walk.take();
    // The segment that holds `end` was deleted since the chain was read: the next look says where the log begins now.
    if (walked.error().code != ErrorCode::deleted || attempt == attempts_max) return fail(walked.error());
  }
}

}  // namespace millrace::wal
