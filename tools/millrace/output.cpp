#include "tools/millrace/output.hpp"

#include <poll.h>

#include <cerrno>

#include "tools/millrace/interrupt.hpp"

namespace millrace::cli {

bool Output::flush() {
  std::size_t written = 0;
  while (open() && written < text_.size()) {
    const ssize_t count = ::write(fd_, text_.data() + written, text_.size() - written);
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (errno == EPIPE) {
      gone_ = true;
    } else if (errno == EAGAIN) {
      pollfd waiting{fd_, POLLOUT, 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      error_ = errno;
    }
    if (interrupted() && written < text_.size()) gone_ = true;  // who does not read must not keep us from ending
  }
  text_.clear();
  return open();
}

bool Output::has_reader() {
  pollfd waiting{fd_, 0, 0};
  if (::poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLERR) != 0) gone_ = true;
  return open();
}

Exit Output::finish(Exit ended) {
  flush();
  if (interrupted()) return Exit::interrupted;
  if (error_ == 0) return ended;
  return complain(fail_errno("cannot write to standard output", error_).value());
}

}  // namespace millrace::cli
