// The folder in which one engine keeps its snapshots (wal/snapshot_folder.hpp), and which of them it may begin with.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "publishers/matching/snapshot.hpp"
#include "wal/snapshot_folder.hpp"

namespace millrace::matching {

// One thread at a time.
class SnapshotStore {
 public:
  using OnRejected = wal::SnapshotFolder::OnRejected;

  // Makes the folder. `files` outlives the store. Errors: what the disk says.
  [[nodiscard]] static Result<SnapshotStore> open(wal::FileSystem& files, std::string folder);

  // The newest that is whole and all of whose outputs are in the log, whose last ones are `recorded`: what a snapshot
  // has behind it is never made again, so one that is ahead of the log would lose it. nullopt: begin at the first
  // order. Errors: what the disk says when it is read.
  [[nodiscard]] Result<std::optional<Snapshot>> newest(const OutputSequences& recorded, const OnRejected& on_rejected);

  // On the disk when this returns. `input`: where the snapshot goes on.
  [[nodiscard]] Status write(Offset input, std::span<const std::byte> bytes) {
    return folder_.write(input.value(), bytes);
  }

 private:
  explicit SnapshotStore(wal::SnapshotFolder folder) : folder_(std::move(folder)) {}

  wal::SnapshotFolder folder_;
};

}  // namespace millrace::matching
