// An owned file descriptor, and an owned memory mapping. Both move, neither copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "bus/base/result.hpp"

namespace millrace {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  [[nodiscard]] UniqueFd duplicate() const;  // close-on-exec; empty when this one is
  void reset();

 private:
  int fd_ = -1;
};

enum class Access { read_only, read_write };

// A shared mapping of part of a file. Not inherited by fork (MADV_DONTFORK), so that a child cannot write into a ring.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), size_(std::exchange(other.size_, 0)), skip_(other.skip_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    std::swap(skip_, other.skip_);
    return *this;
  }
  ~Mapping();

  // `offset` may be unaligned; `bytes()` begins at it. Errors: what mmap says, with `what` named.
  [[nodiscard]] static Result<Mapping> map(int fd, std::uint64_t offset, std::size_t size, Access access,
                                           std::string_view what);
  // An anonymous shared mapping, zeroed, for tests and in-memory twins.
  [[nodiscard]] static Result<Mapping> anonymous(std::size_t size);

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(base_) + skip_; }
  [[nodiscard]] std::size_t size() const { return size_ - skip_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {data(), size()}; }
  [[nodiscard]] explicit operator bool() const { return base_ != nullptr; }

 private:
  void* base_ = nullptr;
  std::size_t size_ = 0;
  std::size_t skip_ = 0;
};

// A memfd of `size` zero bytes, its size sealed. `name` shows in /proc.
[[nodiscard]] Result<UniqueFd> make_memfd(const char* name, std::size_t size);

// A memfd that only this mapping may write: who gets the descriptor can map it read-only and nothing else.
struct ReadOnlyShare {
  UniqueFd fd;
  Mapping mapping;
};
[[nodiscard]] Result<ReadOnlyShare> make_read_only_share(const char* name, std::size_t size);

// A second descriptor of the same memory that cannot be made writable.
[[nodiscard]] Result<UniqueFd> reopen_read_only(int fd);

}  // namespace millrace
