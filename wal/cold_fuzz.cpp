// A compressed segment is a door: whatever bytes stand in a `.wal.zst`, a reader comes to an end without a crash, gives
// no event that the writer did not write, and names all that it does not give.
//
// Input: a byte of options, then what they say. Bits 0 and 1 choose the segment, bit 6 how it is read. With bit 4 the
// file stands in a folder alone, so that no successor says where it ends, and a writer goes on behind it. Bits 2 and 3
// choose the file: 0: the input's bytes. 1: the right file, edited: 3 bytes each, where (2) and what to xor. 2: made
// from parts, with the checksums of header and table made right: what to xor to `end` (8), `first_block_bytes`
//    (4) and `block_bytes` (4) of the header, a byte that counts the edits of the table, 9 bytes each, which entry and
//    what to add; then edits of all of it as above, before the checksums are made.
// 3: the right file up to a byte (2), the input's bytes, and with bit 5 the rest of the right file.
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

#include "bus/base/assert.hpp"
#include "wal/chain.hpp"
#include "wal/cold.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/testing/events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

constexpr std::size_t segments = 3;
constexpr std::uint32_t small_block_bytes = 2048;
constexpr std::size_t blocks_max = 64;
constexpr std::size_t table_edits_max = 16;

template <class T>
T take(Bytes& input) {
  T value{};
  const std::size_t size = std::min(sizeof value, input.size());
  if (size > 0) std::memcpy(&value, input.data(), size);
  input = input.subspan(size);
  return value;
}
void edit(std::vector<std::byte>& bytes, Bytes input) {
  while (input.size() >= 3) {
    const auto at = take<std::uint16_t>(input);
    const auto flip = take<std::byte>(input);
    if (at < bytes.size()) bytes[at] ^= flip;
  }
}

// A compressed segment in the making.
struct Parts {
  ColdHeader header{};
  std::vector<std::byte> frames;
  std::vector<std::uint64_t> table;

  void add(Bytes content) {
    table.push_back(sizeof header + frames.size());
    std::vector<std::byte> frame(ZSTD_compressBound(content.size()));
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, compression_level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    frame.resize(ZSTD_compress2(context, frame.data(), frame.size(), content.data(), content.size()));
    ZSTD_freeCCtx(context);
    frames.insert(frames.end(), frame.begin(), frame.end());
  }
  // As the header cuts it, if that is into few.
  void add_all(Bytes content) {
    const std::uint64_t first = std::min<std::uint64_t>(header.first_block_bytes, content.size());
    add(content.first(first));
    content = content.subspan(first);
    while (!content.empty()) {
      const bool last = table.size() >= blocks_max || header.block_bytes == 0;
      const std::uint64_t size = last ? content.size() : std::min<std::uint64_t>(header.block_bytes, content.size());
      add(content.first(size));
      content = content.subspan(size);
    }
  }
  // With the checksums made right behind the edits, if there are any.
  [[nodiscard]] std::vector<std::byte> file(Bytes edits = {}) const {
    const Bytes entries = std::as_bytes(std::span(table));
    const std::size_t table_at = sizeof header + frames.size();
    std::vector<std::byte> bytes(table_at + entries.size());
    std::memcpy(bytes.data(), &header, sizeof header);
    std::copy(frames.begin(), frames.end(), bytes.begin() + sizeof header);
    std::copy(entries.begin(), entries.end(), bytes.begin() + static_cast<std::ptrdiff_t>(table_at));
    edit(bytes, edits);
    ColdTrailer trailer{checksum_of(Bytes(bytes).subspan(table_at)), {}};
    std::memcpy(&trailer.header, bytes.data(), sizeof header);
    trailer.header.checksum = checksum_of(std::as_bytes(std::span(&trailer.header, 1)).subspan(checksummed_from));
    std::memcpy(bytes.data(), &trailer.header, sizeof header);
    const Bytes end = std::as_bytes(std::span(&trailer, 1));
    bytes.insert(bytes.end(), end.begin(), end.end());
    return bytes;
  }
};

// A batch as it was written, by its first offset.
struct Written {
  std::uint32_t count;
  Sequence first_sequence;
  WallTime record_time;
  std::uint64_t body;
  bool operator==(const Written&) const = default;
};

class World {
 public:
  World() {
    auto writer = begin(files_, small_segments(16384));
    std::uint64_t number = 0;
    while (segment_paths(files_).size() <= segments) {
      ++number;
      MILLRACE_ASSERT(add(*writer, 1 + static_cast<std::uint32_t>(number % 9), WallTime{static_cast<int>(number)}), "");
    }
    MILLRACE_ASSERT(add(*writer, 3, WallTime{static_cast<int>(number)}) && writer->sync(), "");
    end_ = writer->next_offset();
    auto reader = Reader::open(files_, "t").value();
    while (const auto batch = reader.next().value()) {
      if (batch->kind == BatchKind::events) written_.emplace(batch->first_offset, written(*batch));
    }
    const auto chain = list_chain(files_, "t").value();
    for (std::size_t i = 0; i < segments; ++i) compress(chain[i]);
  }

  void run(Bytes input) {
    const auto options = take<std::uint8_t>(input);
    const std::size_t i = options % 4 % segments;
    const bool alone = (options & 16) != 0;
    auto bytes = file(i, options >> 2 & 3, (options & 32) != 0, input);
    if (alone) return read_alone(names_[i], std::move(bytes));
    const std::string path = join("t", to_cold_name(names_[i]));
    std::swap(*files_.bytes_of(path), bytes);
    read(i, (options & 64) != 0 ? ReadMode::mapped : ReadMode::pread);
    std::swap(*files_.bytes_of(path), bytes);
  }

 private:
  static Written written(const BatchView& batch) {
    return {batch.count, batch.first_sequence, batch.record_time, checksum_of(batch.body)};
  }
  static void expect_refused(const Error& error) {
    MILLRACE_ASSERT(error.code == ErrorCode::unsupported, "nothing but another version is refused");
  }

  void read(std::size_t i, ReadMode mode) {
    auto reader = Reader::open(files_, "t", mode);
    if (!reader) return expect_refused(reader.error());
    if (!read_on(*reader, Offset(0), end_)) return;
    for (const Offset from : {Offset(3), begins_[i].next()}) {
      const Status sought = reader->seek(from);
      if (!sought) return expect_refused(sought.error());
      (void)read_on(*reader, from, end_);
    }
  }

  void compress(const Link& link) {
    const std::vector<std::byte> content(
        files_.bytes_of(join("t", to_file_name(link.name)))->begin(),
        files_.bytes_of(join("t", to_file_name(link.name)))->begin() + static_cast<std::ptrdiff_t>(*link.end));
    MILLRACE_ASSERT(compress_segment({&files_, "t", link.name, link.log_id, *link.end, {}, {}}), "");
    const auto& made = *files_.bytes_of(join("t", to_cold_name(link.name)));
    Parts parts;
    std::memcpy(&parts.header, made.data(), sizeof parts.header);
    parts.add_all(content);
    MILLRACE_ASSERT(parts.file() == made, "what is made here of parts is what the writer makes");
    parts = Parts{parts.header, {}, {}};
    parts.header.block_bytes = small_block_bytes;
    parts.add_all(content);
    *files_.bytes_of(join("t", to_cold_name(link.name))) = parts.file();
    names_.push_back(link.name);
    begins_.push_back(link.name.first_offset);
    contents_.push_back(content);
    headers_.push_back(parts.header);
    right_.push_back(parts.file());
  }

  std::vector<std::byte> file(std::size_t i, int how, bool rest, Bytes input) const {
    if (how == 0) return {input.begin(), input.end()};
    std::vector<std::byte> bytes = right_[i];
    if (how == 1) {
      edit(bytes, input);
      return bytes;
    }
    if (how == 3) {
      const std::size_t cut = take<std::uint16_t>(input) % (bytes.size() + 1);
      std::vector<std::byte> made(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut));
      made.insert(made.end(), input.begin(), input.end());
      if (rest) made.insert(made.end(), bytes.begin() + static_cast<std::ptrdiff_t>(cut), bytes.end());
      return made;
    }
    Parts parts;
    parts.header = headers_[i];
    parts.header.end ^= take<std::uint64_t>(input);
    parts.header.first_block_bytes ^= take<std::uint32_t>(input);
    parts.header.block_bytes ^= take<std::uint32_t>(input);
    parts.add_all(contents_[i]);
    for (std::size_t edits = take<std::uint8_t>(input) % table_edits_max; edits > 0; --edits) {
      const auto entry = take<std::uint8_t>(input);
      parts.table[entry % parts.table.size()] += take<std::uint64_t>(input);
    }
    return parts.file(input);
  }

  // Whether it came to the end: everything from there on is given as it was written, or named as lost. False: refused.
  bool read_on(Reader& reader, Offset from, std::optional<Offset> end) {
    Offset next = from;
    for (int calls = 0; calls < 10'000; ++calls) {
      const auto batch = reader.next();
      if (!batch && batch.error().code == ErrorCode::corrupt) {
        const Corruption& lost = *reader.corruption();
        if (end) MILLRACE_ASSERT(lost.from <= std::max(next, from), "what is lost is named whole");
        next = std::max(next, lost.to);
      } else if (!batch) {
        expect_refused(batch.error());
        return false;
      } else if (!*batch) {
        if (end) MILLRACE_ASSERT(next >= *end, "what is not given is named");
        return true;
      } else if ((*batch)->kind == BatchKind::events) {
        const auto there = written_.find((*batch)->first_offset);
        MILLRACE_ASSERT(there != written_.end() && there->second == written(**batch), "it is as it was written");
        if (end) MILLRACE_ASSERT((*batch)->first_offset <= next, "nothing is left out in silence");
        next = std::max(next, (*batch)->next_offset());
      }
    }
    MILLRACE_ASSERT(false, "a reader does not come to an end");
    return false;
  }

  void read_alone(SegmentName name, std::vector<std::byte> bytes) {
    FaultFileSystem files;
    const std::string path = join("t", to_cold_name(name));
    MILLRACE_ASSERT(files.create(path), "");
    *files.bytes_of(path) = std::move(bytes);
    if (auto reader = Reader::open(files, "t")) {
      (void)read_on(*reader, name.first_offset, {});
      (void)reader->end_offset();
    }
    (void)compress_segment({&files, "t", name, log_id, 8192, {}, {}});
    auto writer = Writer::open(files, "t", small_segments(16384), WallTime{1});
    if (writer && writer->append_publisher({PublisherId(77), "fuzz", Epoch(1), {}, Sequence(0)}, WallTime{1})) {
      auto reader = Reader::open(files, "t");
      MILLRACE_ASSERT(reader, "what a writer goes on in can be read");
      (void)read_on(*reader, name.first_offset, {});
    }
  }

  FaultFileSystem files_;
  Offset end_;
  std::map<Offset, Written> written_;
  std::vector<SegmentName> names_;
  std::vector<Offset> begins_;
  std::vector<std::vector<std::byte>> contents_;
  std::vector<ColdHeader> headers_;
  std::vector<std::vector<std::byte>> right_;
};

}  // namespace
}  // namespace millrace::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static millrace::wal::World world;
  if (size > 0) world.run(std::as_bytes(std::span(data, size)));
  return 0;
}
