#include "tools/millrace/log_scan.hpp"

#include <variant>

#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/selection.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::cli {
namespace {

std::string number(Offset offset) {
  return std::to_string(offset.value());
}

}  // namespace

Result<LogScan> LogScan::open(const LogChoice& choice, const LogRange& range, bool with_types) {
  auto folder = find_log(choice);
  if (!folder) return fail(folder.error());
  auto reader = wal::Reader::open(wal::posix_file_system(), *folder);
  if (!reader) return fail(reader.error());
  LogScan scan;
  scan.folder_ = *folder;
  scan.reader_.emplace(std::move(*reader));
  scan.types_ = std::make_unique<LogTypes>(*folder, choice.root);
  scan.with_types_ = with_types;
  scan.conditions_ = range.filters;
  scan.left_ = range.limit.value_or(UINT64_MAX);
  MILLRACE_TRY(scan.go_to(range));
  MILLRACE_TRY(scan.check_filters());
  return scan;
}

Status LogScan::go_to(const LogRange& range) {
  // Of now: a log that grows faster than it is read must end, too.
  const auto end = reader_->end_offset();
  if (!end) return fail(end.error());
  end_ = *end;
  const auto start = parse_start(range.from);
  if (!start) return fail(start.error());
  if (std::holds_alternative<StartLatest>(*start)) {
    return fail(ErrorCode::invalid_argument,
                "a log's files end at what is there now: begin at earliest, an offset or "
                "a time");
  }
  if (const auto* offset = std::get_if<Offset>(&*start)) {
    if (*offset > end_) {
      return fail(ErrorCode::invalid_argument, "offset " + number(*offset) + " is beyond the end: the log has " +
                                                   number(reader_->first_offset()) + " to before " + number(end_));
    }
    MILLRACE_TRY(reader_->seek(*offset));
  }
  if (const auto* time = std::get_if<WallTime>(&*start)) MILLRACE_TRY(reader_->seek_time(*time));
  first_ = reader_->position();
  if (range.to.empty()) return {};

  const auto stop = parse_start(range.to);
  if (!stop || std::holds_alternative<StartEarliest>(*stop) || std::holds_alternative<StartLatest>(*stop)) {
    return fail(ErrorCode::invalid_argument, "'" + range.to +
                                                 "' is no place to end before; give an offset, or a time "
                                                 "such as 2026-03-01T15:00:00Z, or leave it away");
  }
  if (const auto* offset = std::get_if<Offset>(&*stop)) {
    if (*offset < first_) {
      return fail(ErrorCode::invalid_argument,
                  "the range ends before it begins: offset " + number(*offset) + " comes before " + number(first_));
    }
    if (*offset > end_) {
      return fail(ErrorCode::invalid_argument, "offset " + number(*offset) + " is beyond the end: the log has " +
                                                   number(reader_->first_offset()) + " to before " + number(end_) +
                                                   "; leave it away to read to the end");
    }
    end_ = *offset;
  } else {
    end_time_ = std::get<WallTime>(*stop);
    const auto* from_time = std::get_if<WallTime>(&*start);
    if (from_time != nullptr && *end_time_ < *from_time) {
      return fail(ErrorCode::invalid_argument,
                  "the range ends before it begins: " + range.to + " comes before " + range.from);
    }
  }
  return {};
}

Result<std::optional<EventTypeId>> LogScan::first_type() const {
  auto peek = wal::Reader::open(wal::posix_file_system(), folder_);
  if (!peek) return fail(peek.error());
  const auto end = peek->end_offset();
  if (!end) return fail(end.error());
  for (;;) {
    const auto batch = peek->next(*end);
    if (!batch && batch.error().code == ErrorCode::corrupt) continue;
    if (!batch) return fail(batch.error());
    if (!*batch) return std::nullopt;
    if (const auto event = wal::EventCursor(**batch).next()) return event->frame.event_type();
  }
}

// With the newest schema that the log has, so that a word that is wrong is said before anything is read.
Status LogScan::check_filters() {
  if (conditions_.empty()) return {};
  const auto id = first_type();
  if (!id) return fail(id.error());
  if (!*id) return {};
  const schemas::EventType* const type = types_->find(**id);
  if (type == nullptr) return fail(ErrorCode::invalid_argument, "a filter wants a schema: " + types_->problem());
  const auto filter = historical::Filter::make(conditions_, *type);
  if (!filter) return fail(filter.error());
  return {};
}

const historical::Filter* LogScan::filter_of(const schemas::EventType* type) {
  if (type == nullptr) return nullptr;
  const auto [place, is_new] = filters_.try_emplace(type);
  if (is_new) {
    // An older schema of the type may not have the field; the newest one does.
    if (auto filter = historical::Filter::make(conditions_, *type)) place->second.emplace(std::move(*filter));
  }
  return place->second ? &*place->second : nullptr;
}

ProgressLook LogScan::look(Offset next) const {
  ProgressLook look{.done = next - first_, .position = "offset " + number(next)};
  if (!end_time_) look.total = end_ - first_;
  return look;
}

Exit LogScan::run(const Take& take, const Pause& pause) {
  Exit result = Exit::ok;
  while (left_ > 0 && !interrupted()) {
    const auto batch = reader_->next(end_);
    if (!batch) {
      result = complain(batch.error());
      if (batch.error().code == ErrorCode::corrupt) continue;
      break;
    }
    if (!*batch || (end_time_ && (*batch)->record_time >= *end_time_)) break;
    wal::EventCursor events(**batch, first_);
    while (const auto each = left_ > 0 ? events.next() : std::nullopt) {
      if (each->offset >= end_) break;
      const Event event{each->frame, (*batch)->publisher, (*batch)->epoch, each->offset, (*batch)->record_time};
      const schemas::EventType* type =
          with_types_ || !conditions_.empty() ? types_->find(each->frame.event_type(), each->offset) : nullptr;
      const historical::Filter* const filter = conditions_.empty() ? nullptr : filter_of(type);
      if (!conditions_.empty() && (filter == nullptr || !filter->may_match(each->frame.header()))) continue;
      if (type != nullptr && !type->verify(event.payload())) type = nullptr;
      if (filter != nullptr && (type == nullptr || !filter->matches(event.payload()))) continue;
      if (!take(event, type)) return result;
      --left_;
    }
    if (!pause((*batch)->next_offset())) break;
  }
  return result;
}

}  // namespace millrace::cli
