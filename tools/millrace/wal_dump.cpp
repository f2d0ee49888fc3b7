#include "tools/millrace/wal_dump.hpp"

#include <variant>

#include "tools/millrace/event_line.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/selection.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::cli {
namespace {

Status go_to(wal::Reader& log, const Start& start) {
  if (const auto* offset = std::get_if<Offset>(&start)) return log.seek(*offset);
  if (const auto* time = std::get_if<WallTime>(&start)) return log.seek_time(*time);
  if (std::holds_alternative<StartEarliest>(start)) return {};
  return fail(ErrorCode::invalid_argument, "a dump ends at the log's end: begin at earliest, an offset or a time");
}

}  // namespace

Exit wal_dump(const DumpOptions& options, Output& out) {
  const auto start = parse_start(options.from);
  if (!start) return complain(start.error());
  const auto folder = find_log(options.choice);
  if (!folder) return complain(folder.error());
  auto log = wal::Reader::open(wal::posix_file_system(), *folder);
  if (!log) return complain(log.error());
  if (const Status found = go_to(*log, *start); !found) return complain(found.error());
  const auto* first = std::get_if<Offset>(&*start);
  const auto end = log->end_offset();  // of now: a log that grows faster than it is printed must end, too
  if (!end) return complain(end.error());
  LogTypes types(*folder, options.choice.root);
  std::uint64_t left = options.limit.value_or(UINT64_MAX);
  Exit result = Exit::ok;
  while (left > 0 && !interrupted()) {
    const auto batch = log->next(*end);
    if (!batch) {
      result = complain(batch.error());
      if (batch.error().code == ErrorCode::corrupt) continue;  // what lies behind is shown, too
      break;
    }
    if (!*batch) break;
    wal::EventCursor events(**batch, first != nullptr ? *first : Offset(0));
    while (const auto event = left > 0 ? events.next() : std::nullopt) {
      const Event shown{event->frame, (*batch)->publisher, (*batch)->epoch, event->offset, (*batch)->record_time};
      if (options.raw) {
        append_raw_line(shown, out.text());
      } else {
        append_event_line(shown, types.find(event->frame.event_type()), out.text());
      }
      --left;
    }
    if (!out.flush_if_large()) break;
  }
  if (!types.problem().empty()) {
    result = complain({ErrorCode::invalid_argument, types.problem() + "; --raw shows the bytes"});
  }
  return out.finish(result);
}

}  // namespace millrace::cli
