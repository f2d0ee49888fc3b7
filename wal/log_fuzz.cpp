// Log bytes are a door: whatever stands in a folder's two files, reading, seeking, recovering and going on come to an
// end without a crash, and what was recovered is what a reader then sees.
//
// Input: a byte of options, then segment 1, or segment 1 and 2 if bit 0 is set (half each). With bit 1 the checksums
// of headers and batches are made right first, so that the fuzzer gets behind them.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "bus/base/assert.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/reader.hpp"
#include "wal/writer.hpp"

namespace millrace::wal {
namespace {

template <class T>
T load(const std::vector<std::byte>& bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, std::min(sizeof value, bytes.size() - at));
  return value;
}
template <class T>
void store(std::vector<std::byte>& bytes, std::size_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

void make_checksums_right(std::vector<std::byte>& bytes) {
  if (bytes.size() < sizeof(SegmentHeader)) return;
  auto header = load<SegmentHeader>(bytes, 0);
  if (header.header_bytes > bytes.size() || header.header_bytes < sizeof header) return;
  header.checksum = checksum_of(Bytes(bytes).first(header.header_bytes).subspan(checksummed_from));
  store(bytes, 0, header);
  std::uint64_t previous = header.checksum;
  for (std::size_t at = header.header_bytes; at + sizeof(BatchHeader) <= bytes.size();) {
    auto batch = load<BatchHeader>(bytes, at);
    if (batch.magic != batch_magic || batch.bytes > bytes.size() - at - sizeof batch) return;
    batch.previous = previous;
    batch.body_checksum = checksum_of(Bytes(bytes).subspan(at + sizeof batch, batch.bytes));
    batch.checksum = checksum_of(std::as_bytes(std::span(&batch, 1)).subspan(checksummed_from));
    store(bytes, at, batch);
    previous = batch.checksum;
    at += sizeof batch + batch.bytes;
  }
}

void put(FaultFileSystem& files, SegmentName name, std::span<const std::uint8_t> input, bool repair) {
  std::vector<std::byte> bytes(input.size());
  if (!input.empty()) std::memcpy(bytes.data(), input.data(), input.size());
  if (repair) make_checksums_right(bytes);
  // Under the name that its own header gives, so that more than the name is tried.
  if (bytes.size() >= sizeof(SegmentHeader)) name.first_offset = Offset(load<SegmentHeader>(bytes, 0).first_offset);
  const std::string path = join("t", to_file_name(name));
  if (!files.create(path)) return;
  *files.bytes_of(path) = std::move(bytes);
}

// The number of batches read; a reader may report errors, but not for ever.
void read_all(Reader& reader) {
  for (int calls = 0; calls < 10'000; ++calls) {
    const auto batch = reader.next();
    if (!batch) {
      if (batch.error().code == ErrorCode::corrupt || batch.error().code == ErrorCode::rolled_back) continue;
      return;
    }
    if (!*batch) return;
    if ((*batch)->kind == BatchKind::publisher) (void)(*batch)->granted();
    if ((*batch)->kind == BatchKind::gap) (void)(*batch)->gap();
    EventCursor events(**batch);
    while (const auto event = events.next()) (void)event->frame.payload().size();
  }
  MILLRACE_ASSERT(false, "a reader does not come to an end");
}

void run(std::span<const std::uint8_t> input) {
  if (input.empty()) return;
  const std::uint8_t options = input[0];
  input = input.subspan(1);
  FaultFileSystem files;
  const bool two = (options & 1) != 0;
  const std::size_t half = two ? input.size() / 2 : input.size();
  put(files, {Offset(0), SegmentNumber(1)}, input.first(half), (options & 2) != 0);
  if (two) put(files, {Offset(0), SegmentNumber(2)}, input.subspan(half), (options & 2) != 0);
  if (auto reader = Reader::open(files, "t")) {
    read_all(*reader);
    (void)reader->end_offset();
    if (reader->seek(Offset(3))) read_all(*reader);
    if (reader->seek_time(WallTime{2})) read_all(*reader);
  }
  WriterOptions writer_options;
  writer_options.segment_size = 16384;
  auto writer = Writer::open(files, "t", writer_options, WallTime{1});
  if (!writer) return;
  const PublisherEntry entry{PublisherId(77), "fuzz", Epoch(1), {}, Sequence(0)};
  (void)writer->append_publisher(entry, WallTime{1});
  if (auto reader = Reader::open(files, "t")) read_all(*reader);
}

}  // namespace
}  // namespace millrace::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::wal::run({data, size});
  return 0;
}
