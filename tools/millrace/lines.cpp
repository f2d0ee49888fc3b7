#include "tools/millrace/lines.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "tools/millrace/interrupt.hpp"

namespace millrace::cli {
namespace {

constexpr std::size_t read_size = 256 * 1024;

}  // namespace

bool Lines::take(std::string_view& line) {
  const std::size_t newline = buffer_.find('\n', scanned_);
  if (newline == std::string::npos) {
    scanned_ = buffer_.size();
    return false;
  }
  line = std::string_view(buffer_).substr(begin_, newline - begin_);
  begin_ = scanned_ = newline + 1;
  return true;
}

Lines::Item Lines::next(std::chrono::nanoseconds wait) {
  for (;;) {
    std::string_view line;
    if (take(line)) {
      if (skipping_) {
        skipping_ = false;
        continue;
      }
      return {Kind::line, line};
    }
    if (ended_) {
      if (skipping_ || begin_ == buffer_.size()) return {Kind::end, {}};
      line = std::string_view(buffer_).substr(begin_);
      begin_ = scanned_ = buffer_.size();
      return {Kind::line, line};
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    if (buffer_.size() > line_size_max || skipping_) {
      const bool found_now = !skipping_;
      skipping_ = true;
      buffer_.clear();
      scanned_ = 0;
      if (found_now) return {Kind::too_long, {}};
    }
    scanned_ = buffer_.size();

    // Standard input may be shared with others who read it, so it is left blocking: asked first, read then.
    pollfd readable{fd_, POLLIN, 0};
    if (::poll(&readable, 1, 0) == 0) {
      wait_interruptibly(wait, fd_);
      if (::poll(&readable, 1, 0) == 0) return {Kind::quiet, {}};
    }
    const std::size_t size = buffer_.size();
    buffer_.resize(size + read_size);
    const ssize_t count = ::read(fd_, buffer_.data() + size, read_size);
    buffer_.resize(size + static_cast<std::size_t>(count > 0 ? count : 0));
    if (count == 0) ended_ = true;
    if (count < 0) return {errno == EINTR ? Kind::quiet : Kind::failed, {}};
  }
}

}  // namespace millrace::cli
