// A folder for a benchmark's files, gone with it. MILLRACE_BENCH_FOLDER chooses the disk; else where temporary files
// go.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "bus/base/temporary_folder.hpp"

namespace millrace::bench {

class Folder : public TemporaryFolder {
 public:
  Folder() : TemporaryFolder(disk()) {}

 private:
  static std::filesystem::path disk() {
    const char* chosen = std::getenv("MILLRACE_BENCH_FOLDER");
    if (chosen == nullptr) return std::filesystem::temp_directory_path();
    std::filesystem::create_directories(chosen);
    return chosen;
  }
};

}  // namespace millrace::bench
