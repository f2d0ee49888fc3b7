#include "tools/millrace/partial_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "wal/posix_file_system.hpp"

namespace millrace::cli {
namespace {

tl::unexpected<Error> there_is_one(const std::string& path) {
  return fail(ErrorCode::in_use, "there is a file " + path + " already; --force replaces it");
}

}  // namespace

tl::unexpected<Error> cannot_write(const std::string& path, int error_number) {
  Error error = fail_errno("cannot write " + path, error_number).value();
  if (error_number == ENOSPC || error_number == EDQUOT) {
    error.code = ErrorCode::no_space;
    error.message +=
        "; nothing is left of it. Free some space, name a file on another disk, or take a part with --from "
        "and --to";
  }
  return fail(std::move(error));
}

Result<PartialFile> PartialFile::create(const std::string& path, bool force) {
  if (!force && ::access(path.c_str(), F_OK) == 0) return there_is_one(path);
  PartialFile file(path, force);
  UniqueFd fd(::open(file.partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd) return fail_errno("cannot write " + file.partial_, errno);
  struct stat opened {
  }, there{};
  // Not the same any more: it was finished and got its name since it was opened.
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(fd.get(), &opened) != 0 ||
      ::stat(file.partial_.c_str(), &there) != 0 || opened.st_ino != there.st_ino || opened.st_dev != there.st_dev) {
    return fail(ErrorCode::in_use,
                "another process is making " + file.partial_ + "; wait for it, or name another file");
  }
  if (::ftruncate(fd.get(), 0) != 0) return cannot_write(file.partial_, errno);
  file.fd_ = std::move(fd);
  return file;
}

PartialFile::~PartialFile() {
  if (fd_) ::unlink(partial_.c_str());
}

Status PartialFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      return cannot_write(partial_, errno);
    }
  }
  return {};
}

Status PartialFile::commit() {
  if (::fsync(fd_.get()) != 0) return cannot_write(partial_, errno);
  const unsigned flags = force_ ? 0 : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, path_.c_str(), flags) != 0) {
    if (errno == EEXIST) return there_is_one(path_);
    // A file system that does not know the flag: what came in between is lost, as with any rename.
    if (errno != EINVAL || ::rename(partial_.c_str(), path_.c_str()) != 0) return cannot_write(path_, errno);
  }
  fd_.reset();
  return wal::posix_file_system().sync_folder(wal::parent_of(path_));
}

}  // namespace millrace::cli
