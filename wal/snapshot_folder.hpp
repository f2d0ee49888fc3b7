// The folder in which one process keeps its snapshots. A file appears whole or not at all: it is written aside, synced,
// renamed, and its folder synced. The last two are kept, so that one that went bad costs a longer replay and no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wal/file_system.hpp"

namespace millrace::wal {

// One thread at a time.
class SnapshotFolder {
 public:
  // Takes the bytes of a snapshot, or says why it cannot be used.
  using Take = std::function<Status(std::span<const std::byte>)>;
  // Told of a snapshot that cannot be used, and why.
  using OnRejected = std::function<void(const std::string& path, const Error& why)>;

  // Makes the folder. `files` outlives this. Errors: what the disk says.
  [[nodiscard]] static Result<SnapshotFolder> open(FileSystem& files, std::string folder);

  // Offers the snapshots, the newest first, until one is taken. False: none was. Errors: what the disk says of the
  // folder.
  [[nodiscard]] Result<bool> newest(const Take& take, const OnRejected& on_rejected);

  // On the disk when this returns. `number`: up with each, or the same with the same bytes. Then removes all but it and
  // the last good one before it; what cannot be removed stays for the next time. After an error the last two are what
  // they were.
  [[nodiscard]] Status write(std::uint64_t number, std::span<const std::byte> bytes);

 private:
  SnapshotFolder(FileSystem& files, std::string folder) : files_(&files), folder_(std::move(folder)) {}

  [[nodiscard]] Result<std::vector<std::byte>> read(const std::string& name) const;
  void remove_others(const std::string& newest);

  FileSystem* files_;
  std::string folder_;
  std::string good_;  // name of the last one taken or written; empty if there is none
};

}  // namespace millrace::wal
