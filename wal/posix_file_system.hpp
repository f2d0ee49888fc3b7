// The kernel's file system.
#pragma once

#include "wal/file_system.hpp"

namespace millrace::wal {

class PosixFileSystem final : public FileSystem {
 public:
  [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  [[nodiscard]] Result<std::unique_ptr<File>> create(const std::string& path) override;
  [[nodiscard]] Status rename(const std::string& from, const std::string& to) override;
  [[nodiscard]] Status unlink(const std::string& path) override;
  [[nodiscard]] Status make_folder(const std::string& path) override;
  [[nodiscard]] Status sync_folder(const std::string& path) override;
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& folder) override;
  [[nodiscard]] Result<Space> space(const std::string& folder) override;
};

// One that lives as long as the process; it has no state.
[[nodiscard]] FileSystem& posix_file_system();

}  // namespace millrace::wal
