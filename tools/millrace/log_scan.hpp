// The events of a log's files that were asked for: from where to where, and which of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event.hpp"
#include "subscribers/historical/filter.hpp"
#include "tools/millrace/exit.hpp"
#include "tools/millrace/log_folder.hpp"
#include "tools/millrace/progress.hpp"
#include "wal/reader.hpp"

namespace millrace::cli {

struct LogRange {
  std::string from = "earliest";         // as parse_start() takes it, but for `latest`
  std::string to{};                      // as parse_end() does; empty: the end that the log has now
  std::vector<std::string> filters{};    // FIELD=VALUE
  std::optional<std::uint64_t> limit{};  // of events that pass
};

class LogScan {
 public:
  // `with_types`: whether to look for schemas; filters want them. Errors: what is wrong with the words, not_found,
  // those of historical::find_range(), what the log says.
  [[nodiscard]] static Result<LogScan> open(const LogChoice& choice, const LogRange& range, bool with_types = true);

  // nullptr where the log has no schema for the event, or it is none of its type.
  using Take = std::function<bool(const Event&, const schemas::EventType*)>;
  // After each batch, with the next offset.
  using Pause = std::function<bool(Offset)>;
  // Once. Until the range's end, an interrupt, or one of them says false. What is corrupt or was deleted meanwhile is
  // said on standard error, and what lies behind is given: Exit::failed then. Errors: what there is no way on from,
  // rolled_back too; what was given is then not what the log holds.
  [[nodiscard]] Result<Exit> run(const Take& take, const Pause& pause);

  // How far it is when `next` comes next.
  [[nodiscard]] ProgressLook look(Offset next) const;
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] wal::Reader& reader() { return *reader_; }  // before run()
  // Of the first event there is, in the range or not; a topic carries one type. nullopt: there is none.
  [[nodiscard]] Result<std::optional<EventTypeId>> first_type() const;
  [[nodiscard]] LogTypes& types() { return *types_; }

 private:
  LogScan() = default;
  [[nodiscard]] Status go_to(const LogRange& range);
  [[nodiscard]] Status check_filters();
  // nullptr: nothing of that type passes.
  [[nodiscard]] const historical::Filter* filter_of(const schemas::EventType* type);

  std::string folder_;
  std::optional<wal::Reader> reader_;
  std::unique_ptr<LogTypes> types_;
  bool with_types_ = true;
  std::vector<std::string> conditions_;
  std::map<const schemas::EventType*, std::optional<historical::Filter>>
      filters_;  // no value: the type has not such a field
  Offset first_;
  Offset end_;
  std::uint64_t left_ = UINT64_MAX;
};

}  // namespace millrace::cli
