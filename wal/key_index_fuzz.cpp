// The keys files beside a log are only short cuts: one that is spoilt changes no snapshot; and one that somebody made
// up, checksum and all, can hide what its own segment holds, but never shows an event that is not there, one at or past
// the end asked for, or one key twice.
//
// Input: a byte of options, then the file's bytes. Options: bits 0 and 1 choose the segment; with bit 2 the input is
// what stands behind a right header, from the entries on, bits 4 to 7 being their count; with bit 3 it is made entries
// of the segment's own keys, 4 bytes each: the key, the offset's distance from the segment's first, the batch, how many
// bytes behind its begin.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>

#include "bus/base/assert.hpp"
#include "wal/chain.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/last_values.hpp"
#include "wal/testing/keyed_events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

// A log of events and gaps: three sealed segments and the open one. Made once; only keys files change.
class World {
 public:
  World() {
    auto writer = begin(files_, small_segments(16384));
    std::uint64_t sequence = 1;
    for (int i = 0, more = 6; more > 0; ++i) {
      if (segment_paths(files_).size() == 4) --more;
      if (i % 7 == 6) {
        MILLRACE_ASSERT(writer->append_gap(publisher, Sequence(sequence), Sequence(sequence + 2), 0, WallTime{1}), "");
        sequence += 3;
        continue;
      }
      const std::uint32_t count = 2 + static_cast<std::uint32_t>(i % 5);
      std::vector<std::byte> bytes;
      for (std::uint32_t j = 0; j < count; ++j) {
        // Some keys are only in one segment.
        const bool rare = (i + static_cast<int>(j)) % 9 == 0;
        keys_.push_back(rare ? "rare" + std::to_string(i) : "k" + std::to_string(j));
        append_keyed(bytes, sequence + j, keys_.back());
      }
      MILLRACE_ASSERT(writer->append(publisher, Epoch(1), Sequence(sequence), count, bytes, WallTime{1}), "");
      sequence += count;
    }
    MILLRACE_ASSERT(writer->sync(), "");
    chain_ = list_chain(files_, "t").value();
    for (std::size_t i = 0; i < 3; ++i) {
      auto segment = SegmentReader::open(files_, "t", chain_[i].name, ReadMode::pread).value();
      for (Place place = begin_of(segment);;) {
        const auto next = step(segment, place, {chain_[i].end, {}});
        if (!next || !std::holds_alternative<Batch>(*next)) break;
        batches_[i].push_back(std::get<Batch>(*next).at);
      }
    }
  }

  void run(Bytes input) {
    if (input.empty()) return;
    const auto options = static_cast<unsigned>(input[0]);
    input = input.subspan(1);
    const std::size_t segment = (options & 3) % 3;
    const std::string path = join("t", to_keys_name(chain_[segment].name));
    if (!files_.create(path)) return;
    auto& bytes = *files_.bytes_of(path);
    const bool made_up = (options & 12) != 0;
    if ((options & 8) != 0) {
      bytes = made(input, segment);
    } else if (made_up) {
      bytes = with_header(input, segment, options >> 4);
    } else {
      bytes.assign(input.begin(), input.end());
    }
    // Unless the bytes given are themselves a right file.
    const bool counts =
        made_up || read_key_index(files_, "t", chain_[segment].name, log_id, *chain_[segment].end, 1).has_value();
    const std::uint64_t behind = chain_[segment + 1].name.first_offset.value();
    for (const std::uint64_t end : {behind - 1, behind, behind + 5, std::uint64_t{keys_.size()}}) {
      const auto found = last_values(files_, "t", Offset(end), keyed());
      MILLRACE_ASSERT(found, "the log is good");
      judge(*found, end, counts && end >= behind ? segment : chain_.size());
      const auto one = last_values(files_, "t", Offset(end), keyed(), "k1");
      MILLRACE_ASSERT(one && one->size() <= 1, "one key, one event");
      for (const LastValue& value : *one) MILLRACE_ASSERT(keys_[value.offset.value()] == "k1", "the one asked for");
    }
    (void)files_.unlink(path);
  }

 private:
  // `liar`: the segment whose own events may be hidden.
  void judge(const std::vector<LastValue>& values, std::uint64_t end, std::size_t liar) const {
    std::map<std::string, std::uint64_t> newest;
    for (std::uint64_t offset = 0; offset < end; ++offset) newest[keys_[offset]] = offset;
    std::map<std::string, std::uint64_t> shown;
    for (const LastValue& value : values) {
      const std::uint64_t offset = value.offset.value();
      MILLRACE_ASSERT(offset < end, "nothing past the end");
      const auto payload = value.view().payload();
      const std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
      MILLRACE_ASSERT(keys_[offset] == text, "an event that is in the log, at its offset");
      MILLRACE_ASSERT(shown.emplace(text, offset).second, "one key, one event");
    }
    const std::uint64_t from = liar < chain_.size() ? chain_[liar].name.first_offset.value() : 0;
    const std::uint64_t to = liar < chain_.size() ? chain_[liar + 1].name.first_offset.value() : 0;
    for (const auto& [key, offset] : newest) {
      if (offset >= from && offset < to) continue;
      MILLRACE_ASSERT(shown.contains(key) && shown.at(key) == offset, "what other segments hold is right");
    }
  }

  static void put(std::vector<std::byte>& bytes, const auto& value) {
    const auto* begin = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), begin, begin + sizeof value);
  }
  [[nodiscard]] std::vector<std::byte> with_header(Bytes rest, std::size_t segment, std::uint64_t count) const {
    const std::uint64_t entries = std::min<std::uint64_t>(count, rest.size() / sizeof(KeysEntry));
    KeysHeader header{keys_magic,
                      format_version,
                      0,
                      0,
                      log_id.bytes,
                      chain_[segment].name.number.value(),
                      *chain_[segment].end,
                      1,
                      entries,
                      rest.size() - entries * sizeof(KeysEntry)};
    std::vector<std::byte> bytes;
    put(bytes, header);
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    header.checksum = checksum_of(Bytes(bytes).subspan(checksummed_from));
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
  }
  [[nodiscard]] std::vector<std::byte> made(Bytes input, std::size_t segment) const {
    const std::uint64_t first = chain_[segment].name.first_offset.value();
    std::map<std::string, KeysEntry> entries;
    for (; input.size() >= 4; input = input.subspan(4)) {
      const auto at = [&](std::size_t i) { return std::to_integer<std::uint64_t>(input[i]); };
      entries[keys_[std::min<std::uint64_t>(first + at(0), keys_.size() - 1)]] = {
          first + at(1), batches_[segment][at(2) % batches_[segment].size()] + at(3), 0};
    }
    std::vector<std::byte> bytes;
    std::string texts;
    for (auto& [text, entry] : entries) {
      texts += text;
      entry.text_end = texts.size();
      put(bytes, entry);
    }
    const Bytes all = std::as_bytes(std::span(texts));
    bytes.insert(bytes.end(), all.begin(), all.end());
    return with_header(bytes, segment, entries.size());
  }

  FaultFileSystem files_;
  std::vector<Link> chain_;
  std::vector<std::string> keys_;                      // by offset
  std::array<std::vector<std::uint64_t>, 3> batches_;  // where they begin, by segment
};

}  // namespace
}  // namespace millrace::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static millrace::wal::World world;
  world.run(std::as_bytes(std::span(data, size)));
  return 0;
}
