// The disk, as far as the log needs it: an interface, so that tests can lose what was not synced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bus/base/result.hpp"

namespace millrace::wal {

using Bytes = std::span<const std::byte>;

enum class OpenMode { read, read_write };
enum class LockMode { shared, exclusive };

// An open file; closing it (the destructor) gives up its lock. Calls on one file may come from several threads.
class File {
 public:
  virtual ~File() = default;

  // Bytes read; fewer than asked only at the end of the file.
  [[nodiscard]] virtual Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) = 0;
  // Writes `head` and `body` behind each other in one call; may write less than asked, as the kernel may.
  [[nodiscard]] virtual Result<std::size_t> pwrite(Bytes head, Bytes body, std::uint64_t at) = 0;
  [[nodiscard]] virtual Status sync() = 0;  // fdatasync: data and size
  // Reserves the blocks and makes the file at least so long. Where the file system cannot reserve, only the length.
  [[nodiscard]] virtual Status allocate(std::uint64_t size) = 0;
  // Gives back the blocks from `from` on: they read as zeros, the size stays (a mapping of them is not broken).
  [[nodiscard]] virtual Status discard(std::uint64_t from) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
  // False if another open file holds a lock in the way. Never waits. Locks belong to the open file, not the process.
  [[nodiscard]] virtual Result<bool> try_lock(LockMode mode) = 0;
  virtual void unlock() = 0;
  // For mmap; -1 where there is none.
  [[nodiscard]] virtual int native_fd() const = 0;
};

// Of the file system that a folder is on, in bytes; the default: it cannot be told.
struct Space {
  std::uint64_t total = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t free = std::numeric_limits<std::uint64_t>::max();  // for this user
};

// Paths as the operating system takes them. A new, renamed or deleted entry counts only after sync_folder.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<File>> create(const std::string& path) = 0;  // empties an existing one
  [[nodiscard]] virtual Status rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Status unlink(const std::string& path) = 0;
  [[nodiscard]] virtual Status make_folder(
      const std::string& path) = 0;  // an existing one is fine; not_found: no parent
  [[nodiscard]] virtual Status sync_folder(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;  // names, sorted
  [[nodiscard]] virtual Result<Space> space(const std::string& /*folder*/) { return Space{}; }
};

// pwrite until all is written.
[[nodiscard]] Status write_all(File& file, Bytes head, Bytes body, std::uint64_t at);
// A file of these bytes as `name` in the folder, durable when this returns; nobody sees half of it. Made as `aside`,
// which may stay behind where it fails.
[[nodiscard]] Status replace_file(FileSystem& files, const std::string& folder, const std::string& name,
                                  const std::string& aside, Bytes bytes);
// Makes the folder and those it stands in; durable when this returns.
[[nodiscard]] Status make_folders(FileSystem& files, const std::string& path);
// "<folder>/<name>"
[[nodiscard]] std::string join(const std::string& folder, const std::string& name);
// The folder that `path` stands in.
[[nodiscard]] std::string parent_of(const std::string& path);

}  // namespace millrace::wal
