// How far each durable consumer of one topic has acknowledged: the file `consumers` in the topic's log folder.
//
// Two copies of one small table, written in turn: a crash at any point leaves the old table or the new one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "wal/file_system.hpp"
#include "wal/format.hpp"

namespace millrace::wal {

struct ConsumerRecord {
  std::string name;              // 1 to 48 of [a-z0-9_.-]
  std::uint64_t generation = 0;  // up by one at each new owner
  Run run;
  Offset acked;  // the next offset it wants; everything before is acknowledged
  WallTime updated;
  bool operator==(const ConsumerRecord&) const = default;
};

// One thread and one process at a time. `files` outlives it.
class Checkpoints {
 public:
  // Reads, and makes what it read durable; makes no file before the first store. Errors: corrupt (both copies are bad),
  // unsupported (another version), invalid_argument (the table of another log), io_failed.
  [[nodiscard]] static Result<Checkpoints> open(FileSystem& files, const std::string& folder, LogId log_id);

  // The records alone, for who is not the core: writes nothing, and may run beside it. They may be a store ahead of
  // what is durable. Errors: as open().
  [[nodiscard]] static Result<std::vector<ConsumerRecord>> look(FileSystem& files, const std::string& folder,
                                                                LogId log_id);

  [[nodiscard]] const std::vector<ConsumerRecord>& records() const { return records_; }
  // One of the two copies could not be read. A crash during a store leaves that, and then nothing is lost; if the copy
  // rotted, records() may be the table before the last store: consumers see again what they had acknowledged.
  [[nodiscard]] bool one_copy_bad() const { return one_copy_bad_; }

  // Replaces the table; durable when this returns. After a failure records() is the old table, the disk holds the old
  // one or this one, and the next store tries the same again. Errors: invalid_argument (a name, or one twice),
  // exhausted (more than limits::durable_consumers), no_space (for a new file), io_failed.
  [[nodiscard]] Status store(const std::vector<ConsumerRecord>& records);

 private:
  Checkpoints(FileSystem& files, const std::string& folder, LogId log_id)
      : files_(&files), folder_(folder), log_id_(log_id) {}
  [[nodiscard]] Result<bool> load();  // false: there is no file
  [[nodiscard]] std::vector<std::byte> encode(const std::vector<ConsumerRecord>& records, std::uint64_t number) const;
  [[nodiscard]] Status create(const std::vector<ConsumerRecord>& records);
  [[nodiscard]] Status settle();

  FileSystem* files_;
  std::string folder_;
  LogId log_id_;
  std::vector<ConsumerRecord> records_;
  std::uint64_t number_ = 0;  // of records_; 0: there is no file yet
  std::size_t newest_ = 0;    // the copy that holds records_
  bool one_copy_bad_ = false;
  std::unique_ptr<File> file_;  // for writing, once there is one
};

}  // namespace millrace::wal
