#include "publishers/matching/last_recorded.hpp"

#include <algorithm>

#include "wal/reader.hpp"

namespace millrace::matching {
namespace {

LastRecorded copy_of(const FrameView& frame) {
  LastRecorded last{frame.sequence(), std::nullopt, {frame.payload().begin(), frame.payload().end()}};
  if (const auto cause = frame.cause()) last.cause = Cause(*cause, frame.cause_index());
  return last;
}

}  // namespace

Result<std::optional<LastRecorded>> last_recorded(wal::FileSystem& files, const std::string& log_folder,
                                                  PublisherId publisher) {
  auto log = wal::Reader::open(files, log_folder);
  if (!log) return fail(log.error());
  const auto end = log->end_offset();
  if (!end) return fail(end.error());
  const auto first = log->first_offset();
  std::optional<LastRecorded> found;
  auto until = *end;
  for (std::uint64_t step = 64; !found && until > first; step *= 4) {
    const Offset from(std::max(first.value(), until.value() - std::min(step, until.value())));
    MILLRACE_TRY(log->seek(from));
    while (log->position() < until) {
      const auto batch = log->next(until);
      if (!batch) return fail(batch.error());
      if (!*batch) break;
      if ((*batch)->publisher != publisher) continue;
      wal::EventCursor events(**batch, from);
      while (const auto event = events.next()) found = copy_of(event->frame);
    }
    until = from;
  }
  return found;
}

}  // namespace millrace::matching
