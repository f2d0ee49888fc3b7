#include "tools/millrace/wal_dump.hpp"

#include "tools/millrace/event_line.hpp"
#include "tools/millrace/progress.hpp"

namespace millrace::cli {

Exit wal_dump(const DumpOptions& options, Output& out) {
  auto scan = LogScan::open(options.choice, options.range, !options.raw);
  if (!scan) return complain(scan.error());
  Progress progress(Progress::choose(options.progress, false), "events");
  const auto ran = scan->run(
      [&](const Event& event, const schemas::EventType* type) {
        if (options.raw) {
          append_raw_line(event, out.text());
        } else {
          append_event_line(event, type, out.text());
        }
        return true;
      },
      [&](Offset next) {
        if (progress.due()) progress.show(scan->look(next));
        return out.flush_if_large();
      });
  progress.clear();
  Exit result = ran ? *ran : complain(ran.error());
  if (!scan->types().problem().empty()) {
    result = complain({ErrorCode::invalid_argument, scan->types().problem() + "; --raw shows the bytes"});
  }
  return out.finish(result);
}

}  // namespace millrace::cli
