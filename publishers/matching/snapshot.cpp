#include "publishers/matching/snapshot.hpp"

#include <algorithm>
#include <string>

#include "bus/base/state_bytes.hpp"
#include "wal/format.hpp"

namespace millrace::matching {
namespace {

constexpr std::uint32_t kMagic = 0x4e53524d;  // "MRSN"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kStateFrom = 72;
constexpr std::size_t kChecksumBytes = sizeof(std::uint64_t);

}  // namespace

std::vector<std::byte> encode(const Snapshot& snapshot) {
  StateWriter into;
  into.reserve(kStateFrom + snapshot.state.size() + kChecksumBytes);
  into.put(kMagic);
  into.put(kVersion);
  into.put(std::uint64_t{kStateFrom + snapshot.state.size() + kChecksumBytes});
  into.put_bytes(std::as_bytes(std::span(snapshot.input.log_id.bytes)));
  into.put(snapshot.input.run.value());
  into.put(snapshot.input.offset.value());
  for (const auto sequence : snapshot.outputs) into.put(sequence.value());
  into.put_bytes(snapshot.state);
  into.put(wal::checksum_of(into.bytes()));
  return into.take();
}

Result<Snapshot> decode(std::span<const std::byte> bytes) {
  const auto bad = [](const char* what) { return fail(ErrorCode::corrupt, what); };
  StateReader from(bytes);
  if (from.get<std::uint32_t>() != kMagic) return bad("it is no snapshot");
  // Looked at before the checksum: another version may keep it elsewhere.
  if (const auto version = from.get<std::uint32_t>(); from.sound() && version != kVersion) {
    return fail(ErrorCode::unsupported,
                "its version is " + std::to_string(version) + ", this release reads " + std::to_string(kVersion));
  }
  if (from.get<std::uint64_t>() != bytes.size() || bytes.size() < kStateFrom + kChecksumBytes) {
    return bad("its size is not the one it names");
  }
  const auto checked = bytes.first(bytes.size() - kChecksumBytes);
  if (StateReader(bytes.last(kChecksumBytes)).get<std::uint64_t>() != wal::checksum_of(checked)) {
    return bad("its checksum is wrong");
  }
  Snapshot snapshot;
  const auto log_id = from.get_bytes(sizeof snapshot.input.log_id.bytes);
  std::copy(log_id.begin(), log_id.end(), std::as_writable_bytes(std::span(snapshot.input.log_id.bytes)).begin());
  snapshot.input.run = Run(from.get<std::uint64_t>());
  snapshot.input.offset = Offset(from.get<std::uint64_t>());
  for (auto& sequence : snapshot.outputs) sequence = Sequence(from.get<std::uint64_t>());
  snapshot.state.assign(checked.begin() + kStateFrom, checked.end());
  return snapshot;
}

}  // namespace millrace::matching
