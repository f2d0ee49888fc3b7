// The parts of a Writer's work that may stand still in the kernel, cut out so that another thread can do them: a ticket
// is taken from the Writer and completed there, both on the Writer's thread; run() in between touches nothing of it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "wal/file_system.hpp"
#include "wal/recovery.hpp"
#include "wal/segments.hpp"

namespace millrace::wal {

// A file that remembers a failed sync: the kernel takes the lost pages for clean from then on, so that a later sync
// says that all is well. Syncs of one file take turns, and fail for ever after the first that did.
class LogFile {
 public:
  explicit LogFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  [[nodiscard]] File& operator*() const { return *file_; }
  [[nodiscard]] File* operator->() const { return file_.get(); }
  [[nodiscard]] Status sync();

 private:
  std::unique_ptr<File> file_;
  std::mutex mutex_;
  std::optional<Error> failed_;
};

// Takes the prepared file into use as the segment `name`: writes its header, syncs it, and only then gives it its name.
struct Roll {
  FileSystem* files = nullptr;
  std::string folder;
  std::string prepared;  // the file's name until then
  std::shared_ptr<LogFile> file;
  SegmentName name;
  std::vector<std::byte> header;
  std::int64_t created = 0;
  Place begin;  // of its first batch
  // The segment before: its index is written when it is synced.
  SegmentName old;
  std::uint64_t old_end = 0;
  LogId log_id;
  std::vector<IndexEntry> old_index;

  // What run() did.
  bool old_synced = false;
  bool named = false;  // a failure from here on leaves the name in doubt; one before changed nothing

  [[nodiscard]] Status run();
  void write_old_index() const;
  void undo() const;  // deletes the file
};

// What one sync will make durable, and perhaps the way to the next segment. Copyable; keeps its files open.
class SyncTicket {
 public:
  // The blocking middle. May run on any thread, once.
  [[nodiscard]] Status run() const;
  [[nodiscard]] Offset end() const { return end_; }  // first offset that this sync does not cover

 private:
  friend class Writer;
  std::shared_ptr<LogFile> file_;
  SegmentNumber segment_;
  std::uint64_t bytes_ = 0;
  Offset end_;
  std::uint64_t life_ = 0;
  std::shared_ptr<Roll> roll_;
};

// A step towards the next segment's file: makes it and reserves its space, or writes zeros to a little of it. A step
// that fails deletes the file: after a failed sync nobody knows what of it is on the disk.
class PrepareTicket {
 public:
  [[nodiscard]] Status run();

 private:
  friend class Writer;
  [[nodiscard]] Status make();
  [[nodiscard]] Status write_zeros();

  FileSystem* files_ = nullptr;
  std::string path_;
  std::uint64_t segment_size_ = 0;
  std::uint64_t life_ = 0;
  std::shared_ptr<LogFile> file_;
  std::uint64_t written_ = 0;
};

// Deletes one segment, or makes its file the next one's. Done again after a failure, it does what is left to do.
class DeleteTicket {
 public:
  [[nodiscard]] Status run();

 private:
  friend class Writer;
  [[nodiscard]] bool recycle();
  void delete_older_seals() const;

  FileSystem* files_ = nullptr;
  std::string folder_;
  SegmentName name_;
  std::string recycled_name_;  // empty: its blocks go back
  std::uint64_t segment_size_ = 0;
  std::uint64_t life_ = 0;
  std::shared_ptr<LogFile> recycled_;
};

}  // namespace millrace::wal
