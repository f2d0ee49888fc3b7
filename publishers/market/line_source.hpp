// A text file as a stream of lines: gzip (.gz), zstandard (.zst) or plain.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/result.hpp"

namespace millrace::market {

inline constexpr std::size_t kLineBytesMax = 16 << 20;

class LineSource {
 public:
  // The bytes of the file, decompressed. 0 means the end; an Error has no place in it, LineSource adds that.
  class Bytes {
   public:
    virtual ~Bytes() = default;
    [[nodiscard]] virtual Result<std::size_t> read(char* to, std::size_t size) = 0;
  };

  // not_found or io_failed naming the file.
  [[nodiscard]] static Result<LineSource> open(std::string path);

  // Without its line end; valid until the next call. nullopt at the end of the file. corrupt for a file that breaks off
  // inside its compression, too_large past kLineBytesMax; after an error do not go on.
  [[nodiscard]] Result<std::optional<std::string_view>> next();

  // "file:line: message", the line being the one that next() gave last.
  [[nodiscard]] tl::unexpected<Error> error(ErrorCode code, std::string_view message) const;
  [[nodiscard]] std::uint64_t line() const { return line_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  LineSource(std::string path, std::unique_ptr<Bytes> bytes) : path_(std::move(path)), bytes_(std::move(bytes)) {}

  std::string path_;
  std::unique_ptr<Bytes> bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // what was read but not handed out: [begin_, end_)
  std::size_t end_ = 0;
  bool at_end_ = false;
  std::uint64_t line_ = 0;
};

}  // namespace millrace::market
