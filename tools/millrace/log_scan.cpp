#include "tools/millrace/log_scan.hpp"

#include <algorithm>
#include <variant>

#include "subscribers/historical/log_source.hpp"
#include "subscribers/historical/range.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/selection.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::cli {
namespace {

using historical::Notice;

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
  const auto start = parse_start(range.from);
  if (!start) return fail(start.error());
  if (std::holds_alternative<StartLatest>(*start)) {
    return fail(ErrorCode::invalid_argument,
                "a log's files end at what is there now: begin at earliest, an offset or a time");
  }
  historical::From from;
  std::visit([&](const auto& value) { from = value; }, *start);
  const auto to = range.to.empty() ? Result<historical::To>(historical::ToEnd{}) : parse_end(range.to);
  if (!to) return fail(to.error());
  // Of now: a log that grows faster than it is read must end, too.
  const auto end = reader_->end_offset();
  if (!end) return fail(end.error());
  const auto found = historical::find_range(wal::posix_file_system(), folder_, *reader_, from, *to, *end);
  if (!found) return fail(found.error());
  first_ = found->from;
  end_ = found->to.value_or(*end);
  return reader_->seek(first_);
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
  return {.done = next - first_, .total = end_ - first_, .position = "offset " + number(next)};
}

Result<Exit> LogScan::run(const Take& take, const Pause& pause) {
  Exit result = Exit::ok;
  std::optional<Error> taken_back;
  historical::LogSource source(std::move(*reader_), end_, historical::OnLoss::go_on, [&](const Notice& notice) {
    if (notice.kind == Notice::Kind::gap) return;  // the log never had them
    if (notice.kind == Notice::Kind::rolled_back) {
      taken_back = {ErrorCode::rolled_back, notice.message};
    } else {
      result = complain({ErrorCode::corrupt, notice.message});
    }
  });
  historical::Batch batch;
  while (left_ > 0 && !interrupted()) {
    const auto found = source.fetch(batch);
    if (!found) return fail(found.error());
    if (taken_back) return fail(*taken_back);
    if (!*found) {
      if (source.ended()) break;
      return fail(ErrorCode::rolled_back, "the log ends before offset " + number(end_) + ", which it had reached");
    }
    while (left_ > 0 && batch.next < std::min(batch.end, end_)) {
      const auto frame = batch.cursor.next();
      if (!frame) {
        result = complain({ErrorCode::corrupt, "offsets " + number(batch.next) + " to before " + number(batch.end) +
                                                   " are no well-formed frames; they are left out"});
        break;
      }
      const Offset offset = batch.next;
      ++batch.next;
      if (offset < first_) continue;  // the range begins inside the batch
      const Event event{*frame, batch.publisher, batch.epoch, offset, batch.record_time};
      const schemas::EventType* type =
          with_types_ || !conditions_.empty() ? types_->find(frame->event_type(), offset) : nullptr;
      const historical::Filter* const filter = conditions_.empty() ? nullptr : filter_of(type);
      if (!conditions_.empty() && (filter == nullptr || !filter->may_match(frame->header()))) continue;
      if (type != nullptr && !type->verify(event.payload())) type = nullptr;
      if (filter != nullptr && (type == nullptr || !filter->matches(event.payload()))) continue;
      if (!take(event, type)) return result;
      --left_;
    }
    if (!pause(std::min(batch.end, end_))) break;
  }
  return result;
}

}  // namespace millrace::cli
