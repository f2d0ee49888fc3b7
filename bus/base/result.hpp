// Results for what may happen: a value, or an Error that names what was wrong and what to do.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "bus/base/ids.hpp"

namespace millrace {

enum class ErrorCode {
  invalid_argument,  // the caller gave something malformed
  not_found,         // no such topic, publisher, file, offset
  not_permitted,     // the peer has not the right
  in_use,            // a living process has the name
  too_large,         // an event, a message or a range exceeds its limit
  sequence_error,    // a new incarnation did not begin at last recorded + 1
  disconnected,      // the core is away; try again later
  timed_out,         // not known yet; never means "not done"
  unsupported,       // a version or feature this build does not know
  corrupt,           // bytes that prove to have been synced are bad
  rolled_back,       // a position past the end of its run
  deleted,           // the position is older than the first event there is
  no_space,          // the disk or /dev/shm is full
  io_failed,         // a read, write or sync failed
  exhausted,         // a configured limit (publishers, readers, sessions) is reached
  fenced,            // another process has taken over what this one held
  internal,          // a bug
  not_ready,         // not now, and nothing changed: try again; never leaves a process
  overrun,           // `deleted` of a durable consumer: what it still wanted is gone; never leaves a process
};

[[nodiscard]] std::string_view to_string(ErrorCode code);

// Events that are not there any more.
struct DeletedEvents {
  Offset from;
  Offset to;  // included: the first there is stands behind it
  bool operator==(const DeletedEvents&) const = default;
};

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;  // one sentence: what was wrong, and what to do
  // With `overrun`, and with `deleted` where events were asked for.
  std::optional<DeletedEvents> deleted{};
};

// `value()` is for tests; code asks first and uses `*`.
template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}
// Events from `wanted` on were asked for, and the first there is stands behind it at `first`.
[[nodiscard]] tl::unexpected<Error> fail_deleted(Offset wanted, Offset first);
// "<what>: <strerror(error_number)>", with a code that fits the errno.
[[nodiscard]] tl::unexpected<Error> fail_errno(std::string_view what, int error_number);

}  // namespace millrace

// Gives up with the same error when `expression` (a Status or Result) failed.
#define MILLRACE_TRY(expression)                                    \
  do {                                                              \
    if (auto millrace_status_ = (expression); !millrace_status_)    \
      return ::millrace::fail(std::move(millrace_status_).error()); \
  } while (false)
