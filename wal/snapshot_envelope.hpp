// What stands around a snapshot in its file: magic, version, the file's size, then the contents, then the XXH3 of all
// before. Little-endian, 8-byte aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bus/base/result.hpp"

namespace millrace::wal {

struct SnapshotKind {
  std::uint32_t magic;
  std::uint32_t version;   // of the contents; only this one is read
  std::string_view owner;  // for errors: "a matching engine"
};

[[nodiscard]] std::vector<std::byte> enclose(const SnapshotKind& kind, std::span<const std::byte> contents);

// The contents, within `file`. Errors: corrupt (another kind, cut off, or changed), unsupported (another version).
[[nodiscard]] Result<std::span<const std::byte>> contents_of(const SnapshotKind& kind, std::span<const std::byte> file);

}  // namespace millrace::wal
