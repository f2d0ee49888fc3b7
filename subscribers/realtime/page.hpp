// The files of the page, built into the program (page/embed.cmake).
#pragma once

#include <span>
#include <string_view>

namespace millrace::gateway {

struct PageFile {
  std::string_view path;
  std::string_view content_type;
  std::string_view text;
};
[[nodiscard]] std::span<const PageFile> page_files();

}  // namespace millrace::gateway
