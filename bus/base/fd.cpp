#include "bus/base/fd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace millrace {

UniqueFd UniqueFd::duplicate() const {
  return fd_ < 0 ? UniqueFd() : UniqueFd(::fcntl(fd_, F_DUPFD_CLOEXEC, 0));
}

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Mapping::~Mapping() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

Result<Mapping> Mapping::map(int fd, std::uint64_t offset, std::size_t size, Access access, std::string_view what) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t skip = offset % page;
  const int protection = access == Access::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
  void* base = ::mmap(nullptr, size + skip, protection, MAP_SHARED, fd, static_cast<off_t>(offset - skip));
  if (base == MAP_FAILED) return fail_errno(std::string("cannot map ") + std::string(what), errno);
  ::madvise(base, size + skip, MADV_DONTFORK);
  Mapping mapping;
  mapping.base_ = base;
  mapping.size_ = size + skip;
  mapping.skip_ = skip;
  return mapping;
}

Result<Mapping> Mapping::anonymous(std::size_t size) {
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return fail_errno("cannot map anonymous memory", errno);
  Mapping mapping;
  mapping.base_ = base;
  mapping.size_ = size;
  return mapping;
}

Result<UniqueFd> make_memfd(const char* name, std::size_t size) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("cannot create a memfd", errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail_errno("cannot size a memfd", errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return fail_errno("cannot seal a memfd", errno);
  }
  return fd;
}

Result<ReadOnlyShare> make_read_only_share(const char* name, std::size_t size) {
  auto fd = make_memfd(name, size);
  if (!fd) return fail(fd.error());
  auto mapping = Mapping::map(fd->get(), 0, size, Access::read_write, name);
  if (!mapping) return fail(mapping.error());
  if (::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return fail_errno("cannot seal a memfd against writing", errno);
  }
  return ReadOnlyShare{std::move(*fd), std::move(*mapping)};
}

Result<UniqueFd> reopen_read_only(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  UniqueFd copy(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!copy) return fail_errno("cannot open shared memory read-only", errno);
  return copy;
}

}  // namespace millrace
