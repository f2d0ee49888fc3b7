#include "subscribers/delayed/risk/snapshot.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "bus/base/state_bytes.hpp"
#include "wal/format.hpp"

namespace millrace::delayed::risk {
namespace {

constexpr std::uint32_t kMagic = 0x5352524d;  // "MRRS"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kStateFrom = 96;
constexpr std::size_t kChecksumBytes = sizeof(std::uint64_t);

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

std::vector<std::byte> encode(const std::array<Snapshot::Log, kInputs>& logs, const Memory& memory) {
  const auto state = memory.save();
  StateWriter into;
  into.reserve(kStateFrom + state.size() + kChecksumBytes);
  into.put(kMagic);
  into.put(kVersion);
  into.put(std::uint64_t{kStateFrom + state.size() + kChecksumBytes});
  for (const auto& log : logs) {
    into.put_bytes(std::as_bytes(std::span(log.id.bytes)));
    into.put(log.run.value());
  }
  into.put(memory.alerts.value());
  into.put_bytes(state);
  into.put(wal::checksum_of(into.bytes()));
  return into.take();
}

Result<Snapshot> decode(std::span<const std::byte> bytes) {
  const auto bad = [](const char* what) { return fail(ErrorCode::corrupt, what); };
  StateReader from(bytes);
  if (from.get<std::uint32_t>() != kMagic) return bad("it is no snapshot of a risk engine");
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
  for (auto& log : snapshot.logs) {
    const auto id = from.get_bytes(sizeof log.id.bytes);
    std::copy(id.begin(), id.end(), std::as_writable_bytes(std::span(log.id.bytes)).begin());
    log.run = Run(from.get<std::uint64_t>());
  }
  auto memory = Memory::restore(checked.subspan(kStateFrom));
  if (!memory) return fail(memory.error());
  snapshot.memory = std::move(*memory);
  return snapshot;
}

}  // namespace millrace::delayed::risk
