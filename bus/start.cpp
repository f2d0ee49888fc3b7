#include "bus/start.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace millrace {
namespace {

Status check(const Position& position, wal::Reader& log, Offset end, Run run) {
  const LogId log_id = log.log_id();
  if (position.log_id != log_id) {
    return fail(ErrorCode::invalid_argument, "the position is of another log (" + to_hex(position.log_id.bytes) +
                                                 "); this one is " + to_hex(log_id.bytes));
  }
  // A later run gives out again what its predecessor lost: the offset may be there, and name another event. Where
  // retention has deleted all that run had of its own, nothing tells any more: a position at the first offset that is
  // left is taken, one before it is `deleted`.
  const auto end_of_run = log.end_of_run(position.run);
  if (!end_of_run) return fail(end_of_run.error());
  const Offset last_common = std::min(end, end_of_run->value_or(end));
  if (position.offset > last_common || position.run > run) {
    return fail(ErrorCode::rolled_back, "offset " + std::to_string(position.offset.value()) + " of run " +
                                            std::to_string(position.run.value()) +
                                            " was lost with the host; the last common offset is " +
                                            std::to_string(last_common.value()));
  }
  return {};
}

}  // namespace

Result<TimePlace> find_time(wal::Reader& log, WallTime time, Offset end) {
  MILLRACE_TRY(log.seek_time(time));
  std::optional<Offset> lost;
  for (;;) {
    const auto batch = log.next(end);
    if (!batch && batch.error().code == ErrorCode::corrupt && log.corruption()) {
      const wal::Corruption& corruption = *log.corruption();
      if (corruption.to > corruption.from) lost = std::min(lost.value_or(corruption.from), corruption.from);
      continue;
    }
    if (!batch) return fail(batch.error());
    if (!*batch) return TimePlace{end, lost.value_or(end)};
    if ((*batch)->count == 0) continue;
    const Offset first = std::min((*batch)->first_offset, end);
    if ((*batch)->record_time >= time) return TimePlace{first, lost.value_or(first)};
    lost.reset();
  }
}

Result<Offset> find_start(wal::Reader& log, const Start& start, Offset end, Run run) {
  const Offset first = log.first_offset();
  Offset found = end;
  if (std::holds_alternative<StartEarliest>(start)) {
    found = first;
  } else if (const auto* time = std::get_if<WallTime>(&start)) {
    const auto at = find_time(log, *time, end);
    if (!at) return fail(at.error());
    found = at->with_lost;
  } else if (const auto* offset = std::get_if<Offset>(&start)) {
    found = *offset;
  } else if (const auto* position = std::get_if<Position>(&start)) {
    MILLRACE_TRY(check(*position, log, end, run));
    found = position->offset;
  }
  if (found < first) return fail_deleted(found, first);
  if (found > end) {
    return fail(ErrorCode::invalid_argument, "offset " + std::to_string(found.value()) +
                                                 " is not there yet; the next one will be " +
                                                 std::to_string(end.value()));
  }
  return found;
}

Error as_overrun(Error error) {
  if (error.code != ErrorCode::deleted || !error.deleted) return error;
  error.code = ErrorCode::overrun;
  error.message =
      "the durable consumer was overrun: the events from offset " + std::to_string(error.deleted->from.value()) +
      " to " + std::to_string(error.deleted->to.value()) +
      ", which it still wanted, are deleted; reset it (millrace consumers reset), and it goes on at offset " +
      std::to_string(error.deleted->to.value() + 1);
  return error;
}

}  // namespace millrace
