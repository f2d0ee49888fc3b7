// A file that appears whole or not at all: it is made as NAME.partial beside its place, and gets its name when it is
// done and on the disk.
#pragma once

#include <string>

#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"

namespace millrace::cli {

class PartialFile {
 public:
  // Empties what an export that died left there. Errors: in_use (there is a file of that name, and no `force`; or
  // another process is making it), what the kernel says.
  [[nodiscard]] static Result<PartialFile> create(const std::string& path, bool force);
  PartialFile(PartialFile&&) = default;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();  // without commit() nothing is left

  [[nodiscard]] const std::string& partial_path() const { return partial_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // Errors name the file; no_space says what can be done.
  [[nodiscard]] Status write(std::string_view bytes);
  // Of partial_path(), by whoever wrote it.
  [[nodiscard]] Status commit();

 private:
  PartialFile(std::string path, bool force) : path_(std::move(path)), partial_(path_ + ".partial"), force_(force) {}

  std::string path_;
  std::string partial_;
  bool force_;
  UniqueFd fd_;  // holds a lock on it
};

// What a failed write says, with what to do about it.
[[nodiscard]] tl::unexpected<Error> cannot_write(const std::string& path, int error_number);

}  // namespace millrace::cli
