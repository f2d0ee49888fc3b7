// Lines of a descriptor, as they come; the caller never waits longer than it said.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace millrace::cli {

class Lines {
 public:
  static constexpr std::size_t line_size_max = 4 << 20;

  explicit Lines(int fd) : fd_(fd) {}

  enum class Kind {
    line,
    quiet,     // nothing came in time, or an interrupt did
    too_long,  // a line beyond line_size_max; it is left out
    end,
    failed,  // errno says why
  };
  struct Item {
    Kind kind;
    std::string_view text;  // without its end; valid until the next call
  };
  [[nodiscard]] Item next(std::chrono::nanoseconds wait);

 private:
  [[nodiscard]] bool take(std::string_view& line);

  int fd_;
  std::string buffer_;
  std::size_t begin_ = 0;    // of the next line
  std::size_t scanned_ = 0;  // no line end before
  bool skipping_ = false;    // the rest of a line too long
  bool ended_ = false;
};

}  // namespace millrace::cli
