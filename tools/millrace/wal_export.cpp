#include "tools/millrace/wal_export.hpp"

#include <algorithm>
#include <cstdio>

#include "bus/base/clock.hpp"
#include "tools/millrace/export_rows.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/progress.hpp"

namespace millrace::cli {
namespace {

Result<std::unique_ptr<RowWriter>> make_writer(const std::string& format, PartialFile& file, LogScan& scan) {
  if (format == "ndjson") return make_ndjson_writer(file);
  if (format == "csv") {
    const auto type = scan.first_type();
    if (!type) return fail(type.error());
    return make_csv_writer(file, scan.types(), *type);
  }
  if (format != "sqlite") {
    return fail(ErrorCode::invalid_argument, "there is no format '" + format + "'; give csv, ndjson or sqlite");
  }
  const auto publishers = scan.reader().publishers();
  if (!publishers) return fail(publishers.error());
  return make_sqlite_writer(file, *publishers);
}

}  // namespace

Exit wal_export(const ExportOptions& options) {
  catch_interrupts();
  auto scan = LogScan::open(options.choice, options.range);
  if (!scan) return complain(scan.error());
  auto file = PartialFile::create(options.out, options.force);
  if (!file) return complain(file.error());
  auto writer = make_writer(options.format, *file, *scan);
  if (!writer) return complain(writer.error());

  Progress progress(Progress::choose(options.progress, true), "events");
  const MonotonicTime begin = system_clock().monotonic();
  std::uint64_t rows = 0, left_out = 0;
  Status written;
  const auto ran = scan->run(
      [&](const Event& event, const schemas::EventType* type) {
        if (type == nullptr) {
          ++left_out;
          return true;
        }
        ++rows;
        written = (*writer)->take(event, *type);
        return written.has_value();
      },
      [&](Offset next) {
        if (progress.due()) progress.show(scan->look(next));
        return true;
      });
  progress.clear();
  if (!ran) return complain(ran.error());
  Exit result = *ran;
  if (written && !interrupted()) written = (*writer)->finish();
  if (!written) return complain(written.error());
  if (interrupted()) return Exit::interrupted;
  if (left_out > 0) {
    if (rows == 0 && !scan->types().problem().empty()) {
      return complain({ErrorCode::invalid_argument, "nothing can be exported: " + scan->types().problem()});
    }
    result = Exit::failed;
    std::fprintf(
        stderr, "millrace: %llu events were left out: %s\n", static_cast<unsigned long long>(left_out),
        scan->types().problem().empty() ? "they are no valid events of their type" : scan->types().problem().c_str());
  }
  if (const Status done = file->commit(); !done) return complain(done.error());
  const double seconds = static_cast<double>((system_clock().monotonic().ns - begin.ns)) / 1e9;
  std::fprintf(stderr, "millrace: %s: %llu events in %.1f s, %.0f/s\n", options.out.c_str(),
               static_cast<unsigned long long>(rows), seconds, static_cast<double>(rows) / std::max(seconds, 1e-9));
  return result;
}

}  // namespace millrace::cli
