// For tests: a file that lives as long as its object.
#pragma once

#include <fstream>
#include <string>
#include <string_view>

#include "bus/base/temporary_folder.hpp"

namespace millrace::market {

class TestFile {
 public:
  // `name` decides how it is read: "x.txt", "x.gz", "x.zst".
  TestFile(const std::string& name, std::string_view bytes) : path_(folder_.at(name)) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  TemporaryFolder folder_;
  std::string path_;
};

}  // namespace millrace::market
