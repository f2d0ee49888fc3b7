// Where a log that failed ends, remembered across a restart of the process.
//
// After a failed write or sync the page cache may hold bytes that never reach the disk. Whoever opens the log next, on
// the same run of the host, would read them there and take them for recorded. So the writer that fails leaves a note,
// in a folder that is not on the failing disk (a tmpfs). A restart of the host empties the page cache: then the disk
// tells the truth, and the note is void.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "wal/file_system.hpp"
#include "wal/recovery.hpp"

namespace millrace::wal {

using BootId = std::array<std::uint8_t, 16>;
// Of this run of the host; nil if the kernel does not tell.
[[nodiscard]] BootId boot_id_of_host();

// The notes of all logs in one folder: files `<log_id>.failed`. Without a folder or a boot id there are none: nothing
// is written, nothing is found.
class FailureNotes {
 public:
  // `files` outlives it. Of an empty folder there is nothing to do.
  FailureNotes(FileSystem& files, std::string folder, const BootId& boot)
      : files_(&files), folder_(boot == BootId{} ? "" : std::move(folder)), boot_(boot) {}

  // Replaces an older one; a process that dies meanwhile leaves that or this.
  [[nodiscard]] Status write(LogId log, const KnownEnd& end) const;
  // nullopt: there is none, or it is of another run of the host or damaged.
  [[nodiscard]] std::optional<KnownEnd> read(LogId log) const;
  [[nodiscard]] Status remove(LogId log) const;  // not there is fine

 private:
  [[nodiscard]] std::string path(LogId log) const { return join(folder_, to_hex(log.bytes) + ".failed"); }

  FileSystem* files_;
  std::string folder_;
  BootId boot_;
};

}  // namespace millrace::wal
