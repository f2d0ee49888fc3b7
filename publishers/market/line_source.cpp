#include "publishers/market/line_source.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bus/base/fd.hpp"

namespace millrace::market {
namespace {

constexpr std::size_t chunk_size = 256 << 10;

class PlainBytes final : public LineSource::Bytes {
 public:
  explicit PlainBytes(UniqueFd fd) : fd_(std::move(fd)) {}

  Result<std::size_t> read(char* to, std::size_t size) override {
    while (true) {
      const auto got = ::read(fd_.get(), to, size);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail_errno("the file cannot be read", errno);
    }
  }

 private:
  UniqueFd fd_;
};

class GzipBytes final : public LineSource::Bytes {
 public:
  explicit GzipBytes(UniqueFd fd) : file_(gzdopen(fd.release(), "rb")) {}
  GzipBytes(const GzipBytes&) = delete;
  GzipBytes& operator=(const GzipBytes&) = delete;
  ~GzipBytes() override {
    if (file_ != nullptr) gzclose(file_);
  }

  Result<std::size_t> read(char* to, std::size_t size) override {
    if (file_ == nullptr) return fail(ErrorCode::io_failed, "zlib cannot open the file");
    const int got = gzread(file_, to, static_cast<unsigned>(size));
    // zlib hands a file that is not compressed through as it is.
    if (got > 0 && gzdirect(file_) != 0) return fail(ErrorCode::corrupt, "the file is named .gz but is not gzip");
    int code = Z_OK;
    const char* message = gzerror(file_, &code);
    // A file that breaks off gives what it has, then this.
    if (got < 0 || (got == 0 && code != Z_OK && code != Z_STREAM_END)) {
      return fail(ErrorCode::corrupt, std::string("the gzip data is damaged or breaks off (") + message + ")");
    }
    return static_cast<std::size_t>(got);
  }

 private:
  gzFile file_;
};

class ZstdBytes final : public LineSource::Bytes {
 public:
  explicit ZstdBytes(UniqueFd fd)
      : plain_(std::move(fd)), stream_(ZSTD_createDStream()), input_(ZSTD_DStreamInSize()) {}
  ZstdBytes(const ZstdBytes&) = delete;
  ZstdBytes& operator=(const ZstdBytes&) = delete;
  ~ZstdBytes() override { ZSTD_freeDStream(stream_); }

  Result<std::size_t> read(char* to, std::size_t size) override {
    ZSTD_outBuffer out{to, size, 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size) {
        const auto got = plain_.read(input_.data(), input_.size());
        if (!got) return got;
        if (*got == 0 && inside_frame_) return fail(ErrorCode::corrupt, "the zstandard data breaks off");
        if (*got == 0) return 0;
        in_ = {input_.data(), *got, 0};
      }
      const std::size_t left = ZSTD_decompressStream(stream_, &out, &in_);
      if (ZSTD_isError(left)) {
        return fail(ErrorCode::corrupt, std::string("the zstandard data is damaged (") + ZSTD_getErrorName(left) + ")");
      }
      inside_frame_ = left != 0;
    }
    return out.pos;
  }

 private:
  PlainBytes plain_;
  ZSTD_DStream* stream_;
  std::vector<char> input_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool inside_frame_ = false;
};

}  // namespace

Result<LineSource> LineSource::open(std::string path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open " + path, errno);
  std::unique_ptr<Bytes> bytes;
  if (path.ends_with(".gz")) {
    bytes = std::make_unique<GzipBytes>(std::move(fd));
  } else if (path.ends_with(".zst")) {
    bytes = std::make_unique<ZstdBytes>(std::move(fd));
  } else {
    bytes = std::make_unique<PlainBytes>(std::move(fd));
  }
  return LineSource(std::move(path), std::move(bytes));
}

Result<std::optional<std::string_view>> LineSource::next() {
  std::size_t searched = 0;  // bytes of the line known to hold no line end
  while (true) {
    const char* from = buffer_.data() + begin_;
    const std::size_t held = end_ - begin_;
    const void* found = held > searched ? std::memchr(from + searched, '\n', held - searched) : nullptr;
    if (found != nullptr || (at_end_ && held > 0)) {
      const std::size_t size =
          found != nullptr ? static_cast<std::size_t>(static_cast<const char*>(found) - from) : held;
      begin_ += std::min(size + 1, held);
      ++line_;
      std::string_view line(from, size);
      if (line.ends_with('\r')) line.remove_suffix(1);
      return line;
    }
    if (at_end_) return std::nullopt;
    searched = held;
    const auto here = [&](ErrorCode code, std::string_view message) {
      ++line_;
      return error(code, message);
    };
    if (held > kLineBytesMax) {
      return here(ErrorCode::too_large, "the line is longer than " + std::to_string(kLineBytesMax) + " bytes");
    }
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    begin_ = 0;
    end_ = held;
    if (buffer_.size() < end_ + chunk_size) buffer_.resize(std::max(buffer_.size() * 2, end_ + chunk_size));
    const auto got = bytes_->read(buffer_.data() + end_, buffer_.size() - end_);
    if (!got) return here(got.error().code, got.error().message);
    at_end_ = *got == 0;
    end_ += *got;
  }
}

tl::unexpected<Error> LineSource::error(ErrorCode code, std::string_view message) const {
  return fail(code, path_ + ":" + std::to_string(line_) + ": " + std::string(message));
}

}  // namespace millrace::market
