// A disk in memory that knows what was synced, for tests.
//
// Modelled: any subset of the unsynced 4 KiB blocks survives a crash, each as it was after any of its writes; so does
// any subset of the unsynced creates, renames and deletes. Writes may be short; any operation may fail, once or from
// then on; after a failed sync the blocks look clean but never reach the disk unless written again.
// Not modelled: bytes that rot on the disk (see bytes_of), torn 512-byte sectors, a folder's own loss.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>

#include "wal/file_system.hpp"

namespace millrace::wal {

class FaultFileSystem final : public FileSystem {
 public:
  // The operation numbered `operation` (from 0, counted from now) fails with `code`; with `forever` all after it too.
  // A failing write has written a part.
  void fail_at(std::uint64_t operation, ErrorCode code, bool forever = false);
  void heal();                                           // nothing fails any more
  [[nodiscard]] bool failed() const { return failed_; }  // whether fail_at came true
  void make_writes_short(bool on) { short_writes_ = on; }
  // Loses what was not synced, as the seed chooses. Open files are dead, locks are gone.
  void crash(std::uint64_t seed);
  [[nodiscard]] std::uint64_t operations() const { return operations_; }  // since the last fail_at
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  // The bytes of a file, to look at or to spoil; nullptr if there is none.
  [[nodiscard]] std::vector<std::byte>* bytes_of(const std::string& path);

  [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  [[nodiscard]] Result<std::unique_ptr<File>> create(const std::string& path) override;
  [[nodiscard]] Status rename(const std::string& from, const std::string& to) override;
  [[nodiscard]] Status unlink(const std::string& path) override;
  [[nodiscard]] Status make_folder(const std::string& path) override;
  [[nodiscard]] Status sync_folder(const std::string& path) override;
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& folder) override;

 private:
  friend class FaultFile;
  using Block = std::vector<std::byte>;
  struct Inode {
    std::vector<std::byte> data;
    std::uint64_t synced_size = 0;
    std::map<std::uint64_t, std::vector<Block>> dirty;  // by block: what it was, synced first
    std::map<std::uint64_t, Block> lost;                // a failed sync gave these up: what the disk has
    int shared = 0;
    bool exclusive = false;
  };
  using Entries = std::map<std::string, std::shared_ptr<Inode>>;
  struct Change {
    std::string folder;
    std::function<void(Entries&)> apply;
  };

  [[nodiscard]] Status operation(const char* what);
  void change(const std::string& folder, std::function<void(Entries&)> apply);

  Entries entries_;         // as processes see them
  Entries synced_entries_;  // as the disk has them
  std::vector<Change> changes_;
  std::uint64_t generation_ = 0;
  std::uint64_t operations_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::optional<std::uint64_t> fail_at_;
  ErrorCode code_ = ErrorCode::io_failed;
  bool forever_ = false;
  bool failed_ = false;
  bool short_writes_ = false;
};

}  // namespace millrace::wal
