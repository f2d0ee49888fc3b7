// The file of the durable consumers is a door: whatever stands in it is loaded, or refused by an error that names it
// and left as it was. What is loaded is on the disk from then on, can be stored, and loads again equal.
//
// Input: a byte of options, then copy 1, or copy 1 and 2 if bit 0 is set (half each). With bit 1 each copy is filled up
// with zeros, and magic, version, log and checksum are made right, so that the fuzzer gets behind them; without it the
// bytes stand as they are. With bit 2 a store was cut off before: its file is still there.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>

#include "bus/base/assert.hpp"
#include "wal/checkpoints.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::wal {
namespace {

constexpr LogId log_id{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
const std::string path = "t/consumers";
using Records = std::vector<ConsumerRecord>;

std::vector<std::byte> make_right(Bytes input) {
  std::vector<std::byte> copy(consumers_copy_bytes);
  std::copy_n(input.begin(), std::min(input.size(), copy.size()), copy.begin());
  ConsumersHeader header;
  std::memcpy(&header, copy.data(), sizeof header);
  header.magic = consumers_magic;
  header.version = format_version;
  header.reserved = 0;
  header.log_id = log_id.bytes;
  std::memcpy(copy.data(), &header, sizeof header);
  header.checksum = checksum_of(Bytes(copy).subspan(checksummed_from));
  std::memcpy(copy.data(), &header, sizeof header);
  return copy;
}

void must_hold(FileSystem& files, const Records& records) {
  const auto again = Checkpoints::open(files, "t", log_id);
  MILLRACE_ASSERT(again, "what was loaded or stored loads again");
  MILLRACE_ASSERT(again->records() == records, "and is the same");
}

// Twice, so that both copies are written.
void must_store(FileSystem& files, Checkpoints& checkpoints, Records records) {
  for (int i = 0; i < 2; ++i) {
    for (ConsumerRecord& record : records) ++record.acked;
    MILLRACE_ASSERT(checkpoints.store(records), "what was loaded can be stored");
    MILLRACE_ASSERT(checkpoints.records() == records && !checkpoints.one_copy_bad(), "and counts");
    must_hold(files, records);
  }
}

void run(Bytes input) {
  if (input.empty()) return;
  const auto options = static_cast<unsigned>(input[0]);
  input = input.subspan(1);
  FaultFileSystem files;
  if (!files.make_folder("t") || !files.sync_folder(".") || !files.create(path)) return;
  std::vector<std::byte>& bytes = *files.bytes_of(path);
  const std::size_t half = (options & 1) != 0 ? input.size() / 2 : input.size();
  for (const Bytes copy : {input.first(half), input.subspan(half)}) {
    const auto there = (options & 2) != 0 ? make_right(copy) : std::vector(copy.begin(), copy.end());
    bytes.insert(bytes.end(), there.begin(), there.end());
    if (half == input.size()) break;
  }
  if ((options & 4) != 0) {
    if (!files.create(path + ".new")) return;
    files.bytes_of(path + ".new")->assign(input.begin(), input.end());
  }

  const auto before = bytes;
  auto checkpoints = Checkpoints::open(files, "t", log_id);
  if (!checkpoints) {
    const Error& error = checkpoints.error();
    MILLRACE_ASSERT(error.code == ErrorCode::corrupt || error.code == ErrorCode::unsupported ||
                        error.code == ErrorCode::invalid_argument,
                    "it is the file that is wrong");
    MILLRACE_ASSERT(error.message.find(path) != std::string::npos, "which is named");
    MILLRACE_ASSERT(*files.bytes_of(path) == before, "and left alone");
    return;
  }
  const Records records = checkpoints->records();
  MILLRACE_ASSERT(records.size() <= limits::durable_consumers, "a table is bounded");
  std::set<std::string> names;
  for (const ConsumerRecord& record : records) {
    MILLRACE_ASSERT(names.insert(record.name).second, "a consumer has one checkpoint");
  }
  must_hold(files, records);
  must_store(files, *checkpoints, records);
  files.crash(options);
  Records last = records;
  for (ConsumerRecord& record : last) record.acked = record.acked + 2;
  must_hold(files, last);

  // The same, but that the machine goes down after the load.
  *files.bytes_of(path) = before;
  if (Checkpoints::open(files, "t", log_id)) files.crash(options);
  must_hold(files, records);
}

}  // namespace
}  // namespace millrace::wal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::wal::run(std::as_bytes(std::span(data, size)));
  return 0;
}
