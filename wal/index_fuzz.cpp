// The index files beside a log are only short cuts: whatever stands in one, a lookup by offset or by time finds what it
// finds without any, and so does a look for a sequence.
//
// Input: a byte of options, then the file's bytes. Options: bits 0 and 1 choose the segment; with bit 2 the file is the
// right header and the input's bytes behind it; with bit 3 they are made entries, 4 bytes each: offset, time, which
// batch of the segment, and how many bytes behind its begin.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "bus/base/assert.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/index.hpp"
#include "wal/locate.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr std::size_t batches_seen = 3;

// What a reader shows after a lookup: where it stands, and the batches that come next.
struct Found {
  ErrorCode error{};
  bool ok = false;
  Offset position;
  std::vector<BatchView> batches;  // without bodies
  std::vector<std::uint64_t> bodies;

  bool operator==(const Found& other) const {
    const auto same = [](const BatchView& a, const BatchView& b) {
      return a.kind == b.kind && a.first_offset == b.first_offset && a.first_sequence == b.first_sequence &&
             a.count == b.count && a.record_time == b.record_time && a.publisher == b.publisher && a.epoch == b.epoch &&
             a.run == b.run;
    };
    return ok == other.ok && error == other.error && position == other.position && bodies == other.bodies &&
           std::equal(batches.begin(), batches.end(), other.batches.begin(), other.batches.end(), same);
  }
};

struct Lookup {
  bool by_time;
  std::uint64_t what;
  Found truth;
};

Found look(Reader& reader, const Lookup& lookup) {
  Found found;
  const Status sought = lookup.by_time ? reader.seek_time(WallTime{static_cast<std::int64_t>(lookup.what)})
                                       : reader.seek(Offset(lookup.what));
  found.ok = sought.has_value();
  if (!sought) return found.error = sought.error().code, found;
  found.position = reader.position();
  for (std::size_t i = 0; i < batches_seen; ++i) {
    const auto batch = reader.next();
    MILLRACE_ASSERT(batch, "the log is good");
    if (!*batch) break;
    found.bodies.push_back(checksum_of((*batch)->body));
    found.batches.push_back(**batch);
    found.batches.back().body = {};
  }
  return found;
}

// A log of events, gaps and grants: three sealed segments and the open one. Made once; only index files change.
class World {
 public:
  World() {
    auto writer = begin(files_, small_segments(16384));
    std::uint64_t sequence = 1;
    std::int64_t time = 10;
    for (int i = 0, more = 6; more > 0; ++i) {
      if (segment_paths(files_).size() == 4) --more;
      const WallTime now{time += i % 3 == 0 ? 0 : 5};
      if (i % 7 == 6) {
        MILLRACE_ASSERT(writer->append_gap(publisher, Sequence(sequence), Sequence(sequence + 2), 0, now), "");
        sequence += 3;
      } else {
        const std::uint32_t count = 4 + static_cast<std::uint32_t>(i % 5) * 4;
        MILLRACE_ASSERT(writer->append(publisher, Epoch(1), Sequence(sequence), count, frames(sequence, count), now),
                        "");
        sequence += count;
      }
    }
    MILLRACE_ASSERT(writer->sync(), "");
    chain_ = list_chain(files_, "t").value();
    last_ = Sequence(sequence - 1);
    for (const Link& link : chain_) (void)files_.unlink(index_path(link.name));
    note_batches();
    const std::uint64_t end = writer->next_offset().value();
    for (std::uint64_t offset = 0; offset <= end + 1; offset += 3) note_lookup({false, offset, {}});
    for (std::int64_t at = 0; at <= time + 5; at += 5) note_lookup({true, static_cast<std::uint64_t>(at), {}});
    located_ = locate(files_, "t", publisher, Epoch(1), last_).value();
  }

  void run(Bytes input) {
    if (input.empty()) return;
    const auto options = static_cast<unsigned>(input[0]);
    input = input.subspan(1);
    const std::size_t segment = options & 3;
    const Link& link = chain_[segment];
    const std::string path = index_path(link.name);
    if ((options & 12) != 0) {
      // The open segment has none: then one that claims any end.
      const std::uint64_t end = link.end.value_or(16384);
      const auto entries = (options & 8) != 0 ? made(input, batches_[segment]) : raw(input);
      if (!write_index(files_, "t", link.name, log_id, end, entries)) return;
    } else {
      if (!files_.create(path)) return;
      files_.bytes_of(path)->assign(input.begin(), input.end());
    }
    const std::size_t chosen = options >> 4;
    Reader reader = Reader::open(files_, "t").value();
    for (std::size_t i = chosen == 0 ? 0 : chosen - 1; i < lookups_[segment].size(); i += chosen == 0 ? 1 : 15) {
      const Lookup& lookup = lookups_[segment][i];
      MILLRACE_ASSERT(look(reader, lookup) == lookup.truth, "a lookup finds what it finds without an index");
    }
    const auto located = locate(files_, "t", publisher, Epoch(1), last_);
    MILLRACE_ASSERT(located && *located == located_, "a sequence is where it is");
    (void)files_.unlink(path);
  }

 private:
  static std::string index_path(SegmentName name) { return join("t", to_index_name(name)); }

  // With the segment in which it begins to look: other indexes have no say.
  void note_lookup(Lookup lookup) {
    std::size_t segment = chain_.size() - 1;
    while (segment > 0 && (lookup.by_time ? chain_[segment].created >= static_cast<std::int64_t>(lookup.what)
                                          : chain_[segment].name.first_offset.value() >= lookup.what)) {
      --segment;
    }
    Reader reader = Reader::open(files_, "t").value();
    lookup.truth = look(reader, lookup);
    lookups_[segment].push_back(std::move(lookup));
  }
  void note_batches() {
    for (std::size_t i = 0; i < chain_.size(); ++i) {
      auto segment = SegmentReader::open(files_, "t", chain_[i].name, ReadMode::pread).value();
      for (Place place = begin_of(segment);;) {
        const auto next = step(segment, place, {chain_[i].end, {}});
        if (!next || !std::holds_alternative<Batch>(*next)) break;
        batches_[i].push_back(std::get<Batch>(*next).at);
      }
      MILLRACE_ASSERT(batches_[i].size() > 3, "there is something to be misled to");
    }
  }
  static std::vector<IndexEntry> raw(Bytes input) {
    std::vector<IndexEntry> entries(input.size() / sizeof(IndexEntry));
    if (!entries.empty()) std::memcpy(entries.data(), input.data(), entries.size() * sizeof(IndexEntry));
    return entries;
  }
  static std::vector<IndexEntry> made(Bytes input, const std::vector<std::uint64_t>& batches) {
    std::vector<IndexEntry> entries;
    for (; input.size() >= 4; input = input.subspan(4)) {
      const auto at = [&](std::size_t i) { return std::to_integer<std::uint64_t>(input[i]); };
      entries.push_back({at(0), static_cast<std::int64_t>(at(1)), batches[at(2) % batches.size()] + at(3)});
    }
    return entries;
  }

  FaultFileSystem files_;
  std::vector<Link> chain_;
  std::array<std::vector<std::uint64_t>, 4> batches_;  // where they begin, by segment
  std::array<std::vector<Lookup>, 4> lookups_;
  Sequence last_;
  Located located_{};
};

}  // namespace
}  // namespace millrace::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static millrace::wal::World world;
  world.run(std::as_bytes(std::span(data, size)));
  return 0;
}
