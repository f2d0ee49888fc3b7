#include "wal/failure_note.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "wal/format.hpp"

namespace millrace::wal {

BootId boot_id_of_host() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  std::erase(text, '-');
  return uuid_bytes_from_hex(text).value_or(BootId{});
}

Status FailureNotes::write(LogId log, const KnownEnd& end) const {
  if (folder_.empty()) return {};
  NoteRecord record{note_magic, format_version,         0, 0, log.bytes, boot_, end.segment.value(),
                    end.byte,   end.next_offset.value()};
  record.checksum = checksum_of(std::as_bytes(std::span(&record, 1)).subspan(checksummed_from));
  const std::string next = path(log) + ".new";
  auto file = files_->create(next);
  if (!file) return fail(file.error());
  MILLRACE_TRY(write_all(**file, std::as_bytes(std::span(&record, 1)), {}, 0));
  return files_->rename(next, path(log));
}

std::optional<KnownEnd> FailureNotes::read(LogId log) const {
  if (folder_.empty()) return std::nullopt;
  const auto file = files_->open(path(log), OpenMode::read);
  if (!file) return std::nullopt;
  NoteRecord record;
  const auto got = (*file)->pread(std::as_writable_bytes(std::span(&record, 1)), 0);
  if (!got || *got != sizeof record || record.magic != note_magic || record.version != format_version ||
      record.reserved != 0 || record.log_id != log.bytes || record.boot_id != boot_ ||
      checksum_of(std::as_bytes(std::span(&record, 1)).subspan(checksummed_from)) != record.checksum) {
    return std::nullopt;
  }
  return KnownEnd{SegmentNumber(record.segment), record.byte, Offset(record.next_offset)};
}

Status FailureNotes::remove(LogId log) const {
  if (folder_.empty()) return {};
  const Status removed = files_->unlink(path(log));
  if (!removed && removed.error().code != ErrorCode::not_found) return removed;
  return {};
}

}  // namespace millrace::wal
