#include "subscribers/delayed/risk/snapshot.hpp"

#include <algorithm>
#include <utility>

#include "bus/base/state_bytes.hpp"
#include "wal/snapshot_envelope.hpp"

namespace millrace::delayed::risk {
namespace {

constexpr wal::SnapshotKind kKind{.magic = 0x5352524d, .version = 1, .owner = "a risk engine"};  // "MRRS"

}  // namespace

std::vector<std::byte> Memory::save() const {
  StateWriter into;
  state.save(into);
  into.put(alerts.value());
  standing.save(into);
  return into.take();
}

Result<Memory> Memory::restore(std::span<const std::byte> bytes) {
  StateReader from(bytes);
  Memory memory;
  const bool sound = memory.state.restore(from);
  memory.alerts = Sequence(from.get<std::uint64_t>());
  if (!sound || !memory.standing.restore(from) || !from.at_end()) {
    return fail(ErrorCode::corrupt, "it holds no state of a risk engine");
  }
  return memory;
}

std::vector<std::byte> contents_of(const std::array<Snapshot::Log, kInputs>& logs, const Memory& memory) {
  StateWriter into;
  for (const auto& log : logs) {
    into.put_bytes(std::as_bytes(std::span(log.id.bytes)));
    into.put(log.run.value());
  }
  into.put_bytes(memory.save());
  return into.take();
}

std::vector<std::byte> enclose(std::span<const std::byte> contents) {
  return wal::enclose(kKind, contents);
}

Result<Snapshot> decode(std::span<const std::byte> bytes) {
  const auto contents = wal::contents_of(kKind, bytes);
  if (!contents) return fail(contents.error());
  StateReader from(*contents);
  Snapshot snapshot;
  for (auto& log : snapshot.logs) {
    const auto id = from.get_bytes(sizeof log.id.bytes);
    std::copy(id.begin(), id.end(), std::as_writable_bytes(std::span(log.id.bytes)).begin());
    log.run = Run(from.get<std::uint64_t>());
  }
  auto memory = Memory::restore(from.rest());
  if (!memory) return fail(memory.error());
  snapshot.memory = std::move(*memory);
  return snapshot;
}

}  // namespace millrace::delayed::risk
