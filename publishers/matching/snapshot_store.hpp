// The folder in which one engine keeps its snapshots. A file appears whole or not at all: it is written aside, synced,
// renamed, and its folder synced. The last two are kept, so that one that went bad costs a longer replay and no more.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "publishers/matching/snapshot.hpp"
#include "wal/file_system.hpp"

namespace millrace::matching {

// One thread at a time.
class SnapshotStore {
 public:
  // Told of a snapshot that cannot be used, and why.
  using OnRejected = std::function<void(const std::string& path, const Error& why)>;

  // Makes the folder. `files` outlives the store. Errors: what the disk says.
  [[nodiscard]] static Result<SnapshotStore> open(wal::FileSystem& files, std::string folder);

  // The newest that is whole and all of whose outputs are in the log, whose last ones are `recorded`: what a snapshot
  // has behind it is never made again, so one that is ahead of the log would lose it. nullopt: begin at the first
  // order. Errors: what the disk says when it is read.
  [[nodiscard]] Result<std::optional<Snapshot>> newest(const OutputSequences& recorded, const OnRejected& on_rejected);

  // On the disk when this returns. `input`: where the snapshot goes on. Then removes all but it and the last good one
  // before it; what cannot be removed stays for the next time. After an error the last two are what they were.
  [[nodiscard]] Status write(Offset input, std::span<const std::byte> bytes);

 private:
  SnapshotStore(wal::FileSystem& files, std::string folder) : files_(&files), folder_(std::move(folder)) {}

  [[nodiscard]] Result<Snapshot> read(const std::string& name) const;
  void remove_others(const std::string& newest);

  wal::FileSystem* files_;
  std::string folder_;
  std::string good_;  // name of the last one read or written; empty if there is none
};

}  // namespace millrace::matching
