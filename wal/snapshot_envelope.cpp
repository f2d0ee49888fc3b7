#include "wal/snapshot_envelope.hpp"

#include <string>

#include "bus/base/state_bytes.hpp"
#include "wal/format.hpp"

namespace millrace::wal {
namespace {

constexpr std::size_t head_bytes = 2 * sizeof(std::uint32_t) + sizeof(std::uint64_t);
constexpr std::size_t checksum_bytes = sizeof(std::uint64_t);

}  // namespace

std::vector<std::byte> enclose(const SnapshotKind& kind, std::span<const std::byte> contents) {
  const std::size_t size = head_bytes + contents.size() + checksum_bytes;
  StateWriter into;
  into.reserve(size);
  into.put(kind.magic);
  into.put(kind.version);
  into.put(std::uint64_t{size});
  into.put_bytes(contents);
  into.put(checksum_of(into.bytes()));
  return into.take();
}

Result<std::span<const std::byte>> contents_of(const SnapshotKind& kind, std::span<const std::byte> file) {
  const auto bad = [](const std::string& what) { return fail(ErrorCode::corrupt, what); };
  StateReader from(file);
  if (from.get<std::uint32_t>() != kind.magic) return bad("it is no snapshot of " + std::string(kind.owner));
  // Looked at before the checksum: another version may keep it elsewhere.
  if (const auto version = from.get<std::uint32_t>(); from.sound() && version != kind.version) {
    return fail(ErrorCode::unsupported,
                "its version is " + std::to_string(version) + ", this release reads " + std::to_string(kind.version));
  }
  if (from.get<std::uint64_t>() != file.size() || file.size() < head_bytes + checksum_bytes) {
    return bad("its size is not the one it names");
  }
  const auto checked = file.first(file.size() - checksum_bytes);
  if (StateReader(file.last(checksum_bytes)).get<std::uint64_t>() != checksum_of(checked)) {
    return bad("its checksum is wrong");
  }
  return checked.subspan(head_bytes);
}

}  // namespace millrace::wal
