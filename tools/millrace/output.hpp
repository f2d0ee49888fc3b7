// Standard output in large pieces. A reader that goes away (`| head`) is a quiet end, not a failure.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <string>

#include "tools/millrace/exit.hpp"

namespace millrace::cli {

class Output {
 public:
  explicit Output(int fd = STDOUT_FILENO) : fd_(fd) {}

  // What is appended here goes out with the next flush().
  [[nodiscard]] std::string& text() { return text_; }

  // False once nothing can be written any more: end the loop, and return finish().
  bool flush();
  bool flush_if_large() { return text_.size() < chunk ? open() : flush(); }
  // Asks the kernel whether anybody still reads; for loops that have nothing to write.
  [[nodiscard]] bool has_reader();
  // Writes the rest. `ended` unless writing failed, which is said on standard error; interrupted goes before both.
  [[nodiscard]] Exit finish(Exit ended = Exit::ok);

 private:
  static constexpr std::size_t chunk = 64 * 1024;

  [[nodiscard]] bool open() const { return !gone_ && error_ == 0; }

  int fd_;
  std::string text_;
  bool gone_ = false;
  int error_ = 0;
};

}  // namespace millrace::cli
