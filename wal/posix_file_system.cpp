#include "wal/posix_file_system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "bus/base/fd.hpp"

namespace millrace::wal {
namespace {

class PosixFile final : public File {
 public:
  PosixFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t n = ::pread(fd_.get(), into.data() + done, into.size() - done, static_cast<off_t>(at + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("cannot read " + path_, errno);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Result<std::size_t> pwrite(Bytes head, Bytes body, std::uint64_t at) override {
    // writev only reads what it is given.
    const std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(head.data()), head.size()},
                                     iovec{const_cast<std::byte*>(body.data()), body.size()}};
    for (;;) {
      const ssize_t n = ::pwritev(fd_.get(), parts.data(), 2, static_cast<off_t>(at));
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) return fail_errno("cannot write " + path_, errno);
    }
  }

  Status sync() override {
    if (::fdatasync(fd_.get()) != 0) return fail_errno("cannot sync " + path_, errno);
    return {};
  }

  Status allocate(std::uint64_t size) override {
    int result = 0;
    do {
      result = ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result == 0) return {};
    if (errno != EOPNOTSUPP) return fail_errno("cannot reserve space for " + path_, errno);
    const auto now = this->size();
    if (!now) return fail(now.error());
    if (*now < size && ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      return fail_errno("cannot extend " + path_, errno);
    }
    return {};
  }

  Status discard(std::uint64_t from) override {
    const auto end = size();
    if (!end) return fail(end.error());
    if (from >= *end) return {};
    if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                    static_cast<off_t>(*end - from)) != 0 &&
        errno != EOPNOTSUPP) {
      return fail_errno("cannot give back the space of " + path_, errno);
    }
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) return fail_errno("cannot stat " + path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<bool> try_lock(LockMode mode) override {
    if (::flock(fd_.get(), (mode == LockMode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    return fail_errno("cannot lock " + path_, errno);
  }

  void unlock() override { ::flock(fd_.get(), LOCK_UN); }

  int native_fd() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string path_;
};

Result<std::unique_ptr<File>> open_with(const std::string& path, int flags, const char* verb) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!fd) return fail_errno(std::string("cannot ") + verb + " " + path, errno);
  return std::make_unique<PosixFile>(std::move(fd), path);
}

}  // namespace

Result<std::unique_ptr<File>> PosixFileSystem::open(const std::string& path, OpenMode mode) {
  return open_with(path, mode == OpenMode::read ? O_RDONLY : O_RDWR, "open");
}

Result<std::unique_ptr<File>> PosixFileSystem::create(const std::string& path) {
  return open_with(path, O_RDWR | O_CREAT | O_TRUNC, "create");
}

Status PosixFileSystem::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno("cannot rename " + from + " to " + to, errno);
  return {};
}

Status PosixFileSystem::unlink(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return fail_errno("cannot delete " + path, errno);
  return {};
}

Status PosixFileSystem::make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("cannot make the folder " + path, errno);
  return {};
}

Status PosixFileSystem::sync_folder(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno("cannot sync the folder " + path, errno);
  return {};
}

Result<std::vector<std::string>> PosixFileSystem::list(const std::string& folder) {
  DIR* handle = ::opendir(folder.c_str());
  if (handle == nullptr) return fail_errno("cannot list " + folder, errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(handle)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(handle);
  std::sort(names.begin(), names.end());
  return names;
}

Result<Space> PosixFileSystem::space(const std::string& folder) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) return fail_errno("cannot ask for the free space of " + folder, errno);
  return Space{status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize};
}

FileSystem& posix_file_system() {
  static PosixFileSystem file_system;
  return file_system;
}

}  // namespace millrace::wal
