#include "tools/torturer/journal.hpp"

#define XXH_INLINE_ALL
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

namespace millrace::torture {
namespace {

std::uint64_t check_of(const Record& record) {
  return XXH3_64bits(&record, offsetof(Record, check));
}

}  // namespace

Result<std::vector<Record>> read_journal(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::not_found, "no journal at " + path);
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorCode::io_failed, path + ": " + error.message());
  std::vector<Record> records(size / sizeof(Record));
  in.read(reinterpret_cast<char*>(records.data()), static_cast<std::streamsize>(records.size() * sizeof(Record)));
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].check == check_of(records[i])) continue;
    return fail(ErrorCode::corrupt, path + ": record " + std::to_string(i) + " is not what was written");
  }
  return records;
}

Result<Journal> Journal::open(const std::string& path) {
  Journal journal;
  journal.file_ = UniqueFd(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!journal.file_) return fail_errno("cannot open the journal " + path, errno);
  auto found = read_journal(path);
  if (!found) return fail(found.error());
  journal.found_ = std::move(*found);
  if (::ftruncate(journal.file_.get(), static_cast<off_t>(journal.found_.size() * sizeof(Record))) != 0) {
    return fail_errno("cannot cut off half a record of the journal " + path, errno);
  }
  return journal;
}

void Journal::add(Record record) {
  record.check = check_of(record);
  gathered_.push_back(record);
}

Status Journal::flush() {
  const char* at = reinterpret_cast<const char*>(gathered_.data());
  std::size_t left = gathered_.size() * sizeof(Record);
  while (left > 0) {
    const ssize_t written = ::write(file_.get(), at, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("cannot write a journal", errno);
    at += written;
    left -= static_cast<std::size_t>(written);
  }
  gathered_.clear();
  return {};
}

std::optional<Record> Runs::add(const Event& event) {
  if (run_ && run_->slot == event.slot && run_->life == event.life && run_->base == event.base &&
      run_->sequence + run_->count == event.sequence &&
      (!event.offset || run_->offset + run_->count == *event.offset)) {
    ++run_->count;
    return std::nullopt;
  }
  return std::exchange(
      run_, Record{Kind::seen, event.slot, event.life, event.base, event.sequence, event.offset.value_or(0), 1, 0});
}

std::optional<Record> Runs::take() {
  return std::exchange(run_, std::nullopt);
}

}  // namespace millrace::torture
