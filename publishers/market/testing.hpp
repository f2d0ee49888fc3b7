// For tests: a file that lives as long as its object.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace millrace::market {

class TestFile {
 public:
  // `name` decides how it is read: "x.txt", "x.gz", "x.zst".
  TestFile(const std::string& name, std::string_view bytes) {
    std::string folder = (std::filesystem::temp_directory_path() / "market_test_XXXXXX").string();
    folder_ = ::mkdtemp(folder.data()) != nullptr ? folder : "";
    path_ = folder_ + "/" + name;
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  ~TestFile() { std::filesystem::remove_all(folder_); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string folder_;
  std::string path_;
};

}  // namespace millrace::market
