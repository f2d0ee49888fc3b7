// A folder for a benchmark's files, gone with it. MILLRACE_BENCH_FOLDER chooses the disk; else where temporary files
// go.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "bus/base/ids.hpp"

namespace millrace::bench {

class Folder {
 public:
  Folder() {
    const char* chosen = std::getenv("MILLRACE_BENCH_FOLDER");
    path_ = (chosen != nullptr ? std::filesystem::path(chosen) : std::filesystem::temp_directory_path()) /
            ("millrace-bench-" + to_hex(random_uuid_bytes()));
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string at(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace millrace::bench
