// Where exported events go: one class a format.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event.hpp"
#include "bus/log_types.hpp"
#include "schemas/flat.hpp"
#include "tools/millrace/partial_file.hpp"
#include "wal/segments.hpp"

namespace millrace::cli {

class RowWriter {
 public:
  virtual ~RowWriter() = default;
  // An event that `type` has verified. Errors: of the file, and where the format has no place for it.
  [[nodiscard]] virtual Status take(const Event& event, const schemas::EventType& type) = 0;
  // The rest of the file; it is not committed.
  [[nodiscard]] virtual Status finish() = 0;
};

// All of them write to `file`, which outlives them, as does `types`.
//
// One line an event, as `wal dump` shows it.
[[nodiscard]] std::unique_ptr<RowWriter> make_ndjson_writer(PartialFile& file);
// A line of names, then one line an event: where it stands in the log, then its columns. Of several schemas of the type
// the newest one's columns, then those that only older ones have. One type a file: `type`; nullopt: there are no
// events.
[[nodiscard]] std::unique_ptr<RowWriter> make_csv_writer(PartialFile& file, LogTypes& types,
                                                         std::optional<EventTypeId> type);
// A table a type; export_sqlite.cpp says how it looks.
[[nodiscard]] Result<std::unique_ptr<RowWriter>> make_sqlite_writer(PartialFile& file,
                                                                    const std::vector<wal::PublisherEntry>& publishers);

using schemas::place_name;
using schemas::place_names;

}  // namespace millrace::cli
