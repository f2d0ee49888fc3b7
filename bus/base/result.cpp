#include "bus/base/result.hpp"

#include <cerrno>
#include <cstring>

namespace millrace {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::not_permitted:
      return "not_permitted";
    case ErrorCode::in_use:
      return "in_use";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::sequence_error:
      return "sequence_error";
    case ErrorCode::disconnected:
      return "disconnected";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::rolled_back:
      return "rolled_back";
    case ErrorCode::deleted:
      return "deleted";
    case ErrorCode::no_space:
      return "no_space";
    case ErrorCode::io_failed:
      return "io_failed";
    case ErrorCode::exhausted:
      return "exhausted";
    case ErrorCode::fenced:
      return "fenced";
    case ErrorCode::internal:
      return "internal";
    case ErrorCode::not_ready:
      return "not_ready";
    case ErrorCode::overrun:
      return "overrun";
  }
  return "unknown";
}

tl::unexpected<Error> fail_deleted(Offset wanted, Offset first) {
  return fail(
      {ErrorCode::deleted,
       "offset " + std::to_string(wanted.value()) + " is deleted; the first there is: " + std::to_string(first.value()),
       DeletedEvents{wanted, Offset(first.value() - 1)}});
}

tl::unexpected<Error> fail_errno(std::string_view what, int error_number) {
  const ErrorCode code = [&] {
    switch (error_number) {
      case ENOENT:
        return ErrorCode::not_found;
      case EACCES:
      case EPERM:
      case EROFS:
        return ErrorCode::not_permitted;
      case ENOSPC:
      case EDQUOT:
      case ENOMEM:
        return ErrorCode::no_space;
      case EINVAL:
        return ErrorCode::invalid_argument;
      default:
        return ErrorCode::io_failed;
    }
  }();
  return fail(code, std::string(what) + ": " + std::strerror(error_number));
}

}  // namespace millrace
