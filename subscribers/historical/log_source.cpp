#include "subscribers/historical/log_source.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace::historical {

Status seek_what_is_left(wal::Reader& log, Offset wanted) {
  // What is first may be deleted as it is sought.
  constexpr int attempts_max = 8;
  Status there = log.seek(wanted);
  for (int attempt = 0; !there && there.error().code == ErrorCode::deleted && attempt < attempts_max; ++attempt) {
    there = log.seek(log.first_offset());
  }
  return there;
}

Result<bool> LogSource::fetch(Batch& into) {
  for (;;) {
    if (ended()) return false;
    const Offset before = log_.position();
    const auto batch = log_.next(to_);
    if (!batch) {
      MILLRACE_TRY(pass(batch.error(), before));
      continue;
    }
    if (!*batch) return false;
    const wal::BatchView& found = **batch;
    if (found.kind == wal::BatchKind::gap) {
      const wal::GapView gap = found.gap();
      tell_({.kind = Notice::Kind::gap,
             .from = found.first_offset,
             .to = found.first_offset,
             .gap = {Gap::Reason::not_recorded, found.publisher, gap.from, gap.to}});
    }
    if (found.kind != wal::BatchKind::events) continue;
    into = {FrameCursor(found.body), found.first_offset, found.next_offset(),
            found.publisher,         found.epoch,        found.record_time};
    return true;
  }
}

Status LogSource::pass(const Error& error, Offset before) {
  Notice notice{.from = before, .message = error.message};
  switch (error.code) {
    case ErrorCode::corrupt: {
      notice.kind = Notice::Kind::corrupt;
      const auto& corruption = log_.corruption();
      if (!corruption) return fail(error);
      notice.from = std::max(corruption->from, before);
      notice.to = corruption->to;
      break;
    }
    case ErrorCode::rolled_back: {
      notice.kind = Notice::Kind::rolled_back;
      notice.from = notice.to = log_.position();
      if (!to_) break;
      const auto end = log_.end_offset();
      if (!end) return fail(end.error());
      to_ = std::min(*to_, *end);
      break;
    }
    case ErrorCode::deleted:
      notice.kind = Notice::Kind::deleted;
      break;
    default:
      return fail(error);
  }
  if (on_loss_ == OnLoss::stop) return fail(error);
  if (error.code == ErrorCode::deleted) {
    MILLRACE_TRY(seek_what_is_left(log_, before));
    notice.to = log_.position();
    if (to_) notice.to = std::min(notice.to, *to_);
  }
  tell_(notice);
  return {};
}

Result<Offset> LogSource::seek(const Start& start) {
  const auto end = to_ ? Result<Offset>(*to_) : log_.end_offset();
  if (!end) return fail(end.error());
  const auto found = find_start(log_, start, *end, Run(std::numeric_limits<std::uint64_t>::max()));
  if (!found) return found;
  MILLRACE_TRY(log_.seek(*found));
  return found;
}

}  // namespace millrace::historical
