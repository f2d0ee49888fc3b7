#include "wal/tickets.hpp"

#include <algorithm>

#include "wal/index.hpp"
#include "wal/seals.hpp"

namespace millrace::wal {
namespace {

constexpr std::uint64_t prepare_step = 4 << 20;

}  // namespace

Status LogFile::sync() {
  const std::lock_guard lock(mutex_);
  if (failed_) return fail(*failed_);
  Status synced = file_->sync();
  if (!synced) failed_ = synced.error();
  return synced;
}

Status SyncTicket::run() const {
  if (file_) MILLRACE_TRY(file_->sync());
  if (!roll_) return {};
  // A later segment proves that this one was synced; now it is.
  roll_->old_synced = true;
  roll_->write_old_index();
  return roll_->run();
}

Status Roll::run() {
  const Status ready = [this]() -> Status {
    MILLRACE_TRY(write_all(**file, header, {}, 0));
    return file->sync();
  }();
  Status done = ready;
  if (ready) {
    // Readers may have it as soon as it has its name.
    (*file)->unlock();
    done = files->rename(join(folder, prepared), join(folder, to_file_name(name)));
  }
  if (!done) {
    (void)files->unlink(join(folder, prepared));
    return done;
  }
  named = true;
  return files->sync_folder(folder);
}

void Roll::write_old_index() const {
  (void)write_index(*files, folder, old, log_id, old_end, old_index);
}

void Roll::undo() const {
  (void)files->unlink(join(folder, named ? to_file_name(name) : prepared));
}

Status PrepareTicket::run() {
  Status done = file_ ? write_zeros() : make();
  if (!done) {
    file_.reset();
    (void)files_->unlink(path_);
  }
  return done;
}

Status PrepareTicket::make() {
  (void)files_->unlink(path_);  // one from an earlier life; never emptied, somebody may have it open
  auto file = files_->create(path_);
  if (!file) return fail(file.error());
  MILLRACE_TRY((*file)->allocate(segment_size_));
  file_ = std::make_shared<LogFile>(std::move(*file));
  return {};
}

// Blocks that were written before take a later write two to three times as fast.
Status PrepareTicket::write_zeros() {
  static const std::vector<std::byte> zeros(prepare_step);
  const std::uint64_t size = std::min(prepare_step, segment_size_ - written_);
  MILLRACE_TRY(write_all(**file_, Bytes(zeros).first(size), {}, written_));
  MILLRACE_TRY(file_->sync());
  written_ += size;
  return {};
}

Status DeleteTicket::run() {
  (void)files_->unlink(join(folder_, to_index_name(name_)));
  (void)files_->unlink(join(folder_, to_keys_name(name_)));
  (void)files_->unlink(join(folder_, to_cold_name(name_) + ".new"));
  const auto remove = [this](const std::string& name) -> Status {
    const Status gone = files_->unlink(join(folder_, name));
    return gone || gone.error().code == ErrorCode::not_found ? Status() : gone;
  };
  MILLRACE_TRY(remove(to_cold_name(name_)));
  if (!recycle()) MILLRACE_TRY(remove(to_file_name(name_)));
  delete_older_seals();
  // One after the other also after a crash: a hole in the chain means that a segment was lost.
  Status synced = files_->sync_folder(folder_);
  if (!synced) recycled_.reset();  // it may come back under its old name: nothing else is to be written to it
  return synced;
}

// The seal of the segment that was deleted last stays, so that the next one made has what it is chained to.
void DeleteTicket::delete_older_seals() const {
  const auto names = files_->list(folder_);
  if (!names) return;
  const auto seals = sealed_segments(*names);
  if (std::find(seals.begin(), seals.end(), name_) == seals.end()) return;
  for (const SegmentName seal : seals) {
    if (seal.number < name_.number) (void)files_->unlink(join(folder_, to_seal_name(seal)));
  }
}

bool DeleteTicket::recycle() {
  if (recycled_name_.empty()) return false;
  const std::string path = join(folder_, to_file_name(name_));
  auto file = files_->open(path, OpenMode::read_write);
  if (!file) return false;
  const auto size = (*file)->size();
  if (!size || *size != segment_size_) return false;
  // Readers hold a shared lock; one that comes later finds the exclusive one, or another header.
  const auto locked = (*file)->try_lock(LockMode::exclusive);
  // What was given back when it was sealed is reserved again.
  if (!locked || !*locked || !(*file)->allocate(segment_size_)) return false;
  if (!files_->rename(path, join(folder_, recycled_name_))) return false;
  recycled_ = std::make_shared<LogFile>(std::move(*file));
  return true;
}

}  // namespace millrace::wal
