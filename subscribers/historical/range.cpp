#include "subscribers/historical/range.hpp"

#include <limits>
#include <type_traits>

#include "bus/base/rfc3339.hpp"
#include "wal/checkpoints.hpp"

namespace millrace::historical {
namespace {

std::string text(Offset offset) {
  return std::to_string(offset.value());
}
std::string text(WallTime time) {
  std::string out;
  append_rfc3339(time, out);
  return out;
}

Result<Start> checkpoint(wal::FileSystem& files, const std::string& folder, LogId log_id, const std::string& name) {
  const auto records = wal::Checkpoints::look(files, folder, log_id);
  if (!records) return fail(records.error());
  std::string known;
  for (const wal::ConsumerRecord& record : *records) {
    if (record.name == name) return Position{log_id, record.run, record.acked};
    known += (known.empty() ? "" : ", ") + record.name;
  }
  return fail(ErrorCode::not_found, "there is no durable consumer '" + name + "'; " +
                                        (known.empty() ? "there is none at all" : "there are: " + known));
}

// `end` is not 0.
Result<WallTime> last_time(wal::Reader& log, Offset end) {
  MILLRACE_TRY(log.seek(Offset(end.value() - 1)));
  WallTime time;
  for (;;) {
    const auto batch = log.next(end);
    if (!batch) return fail(batch.error());
    if (!*batch) return time;
    time = (*batch)->record_time;
  }
}

tl::unexpected<Error> beyond(wal::Reader& log, WallTime from, Offset end) {
  std::string last = "the log is empty";
  if (log.first_offset() < end) {
    const auto time = last_time(log, end);
    if (!time) return fail(time.error());
    last = "the log ends at offset " + text(end) + ", and its last event was recorded at " + text(*time);
  }
  return fail(ErrorCode::invalid_argument, "nothing was recorded at " + text(from) + " or later: " + last);
}

// The log's run is not known to a reader of files; a position of a run that is still to come is one of another log.
constexpr Run any_run(std::numeric_limits<std::uint64_t>::max());

Result<Offset> find_from(wal::FileSystem& files, const std::string& folder, wal::Reader& log, const From& from,
                         Offset end) {
  if (const auto* consumer = std::get_if<FromConsumer>(&from)) {
    const auto start = checkpoint(files, folder, log.log_id(), consumer->name);
    if (!start) return fail(start.error());
    return find_start(log, *start, end, any_run);
  }
  const auto start = std::visit(
      [](const auto& value) -> Start {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, FromConsumer>) {
          return StartEarliest{};
        } else {
          return value;
        }
      },
      from);
  if (const auto* offset = std::get_if<Offset>(&start); offset != nullptr && *offset > end) {
    return fail(ErrorCode::invalid_argument,
                "offset " + text(*offset) + " is beyond the end: the log ends at " + text(end));
  }
  return find_start(log, start, end, any_run);
}

Result<std::optional<Offset>> find_to(wal::Reader& log, const To& to, Offset end) {
  if (std::holds_alternative<ToNever>(to)) return std::nullopt;
  if (const auto* offset = std::get_if<Offset>(&to)) {
    if (*offset > end) {
      return fail(ErrorCode::invalid_argument,
                  "the end, offset " + text(*offset) + ", is not there yet: the log ends at " + text(end));
    }
    if (*offset < log.first_offset()) {
      return fail(ErrorCode::deleted, "all before offset " + text(*offset) +
                                          " is deleted; the first there is: " + text(log.first_offset()));
    }
    return *offset;
  }
  if (const auto* time = std::get_if<WallTime>(&to)) {
    const auto found = find_time(log, *time, end);
    if (!found) return fail(found.error());
    const Offset first = log.first_offset();
    if (found->event == first && first > Offset(0) && first < end) {
      return fail(ErrorCode::deleted, "all that was recorded before " + text(*time) +
                                          " is deleted; the first event there is: offset " + text(first));
    }
    return found->event;
  }
  return end;
}

}  // namespace

Result<Range> find_range(wal::FileSystem& files, const std::string& folder, wal::Reader& log, const From& from,
                         const To& to, Offset end) {
  // What was asked for, before what there is.
  const auto* from_offset = std::get_if<Offset>(&from);
  const auto* to_offset = std::get_if<Offset>(&to);
  if (from_offset != nullptr && to_offset != nullptr && *from_offset > *to_offset) {
    return fail(ErrorCode::invalid_argument,
                "offsets " + text(*from_offset) + " to " + text(*to_offset) + ": reversed; give the earlier one first");
  }
  const auto* from_time = std::get_if<WallTime>(&from);
  const auto* to_time = std::get_if<WallTime>(&to);
  if (from_time != nullptr && to_time != nullptr && *from_time > *to_time) {
    return fail(ErrorCode::invalid_argument,
                "times " + text(*from_time) + " to " + text(*to_time) + ": reversed; give the earlier one first");
  }
  const auto begin = find_from(files, folder, log, from, end);
  if (!begin) return fail(begin.error());
  if (from_time != nullptr && *begin == end && !std::holds_alternative<ToNever>(to)) {
    return beyond(log, *from_time, end);
  }
  const auto stop = find_to(log, to, end);
  if (!stop) return fail(stop.error());
  if (*stop && **stop < *begin) {
    return fail(ErrorCode::invalid_argument, "the range begins at offset " + text(*begin) + " and ends before offset " +
                                                 text(**stop) + ": reversed; give an earlier begin or a later end");
  }
  return Range{*begin, *stop};
}

}  // namespace millrace::historical
