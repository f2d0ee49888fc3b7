#include "publishers/matching/snapshot.hpp"

#include <algorithm>

#include "bus/base/state_bytes.hpp"
#include "wal/snapshot_envelope.hpp"

namespace millrace::matching {
namespace {

constexpr wal::SnapshotKind kKind{.magic = 0x4e53524d, .version = 1, .owner = "a matching engine"};  // "MRSN"

}  // namespace

std::vector<std::byte> encode(const Snapshot& snapshot) {
  StateWriter into;
  into.put_bytes(std::as_bytes(std::span(snapshot.input.log_id.bytes)));
  into.put(snapshot.input.run.value());
  into.put(snapshot.input.offset.value());
  for (const auto sequence : snapshot.outputs) into.put(sequence.value());
  into.put_bytes(snapshot.state);
  return wal::enclose(kKind, into.bytes());
}

Result<Snapshot> decode(std::span<const std::byte> bytes) {
  const auto contents = wal::contents_of(kKind, bytes);
  if (!contents) return fail(contents.error());
  StateReader from(*contents);
  Snapshot snapshot;
  const auto log_id = from.get_bytes(sizeof snapshot.input.log_id.bytes);
  std::copy(log_id.begin(), log_id.end(), std::as_writable_bytes(std::span(snapshot.input.log_id.bytes)).begin());
  snapshot.input.run = Run(from.get<std::uint64_t>());
  snapshot.input.offset = Offset(from.get<std::uint64_t>());
  for (auto& sequence : snapshot.outputs) sequence = Sequence(from.get<std::uint64_t>());
  if (!from.sound()) return fail(ErrorCode::corrupt, "it ends within its positions");
  const auto state = from.rest();
  snapshot.state.assign(state.begin(), state.end());
  return snapshot;
}

}  // namespace millrace::matching
