// A folder of the real disk for one test, deleted with all that is in it.
#pragma once

#include <filesystem>
#include <string>

#include "bus/base/ids.hpp"

namespace millrace::wal::testing {

class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_((std::filesystem::temp_directory_path() / ("millrace-wal-" + to_hex(random_uuid_bytes()))).string()) {
    std::filesystem::create_directory(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace millrace::wal::testing
