#include "subscribers/historical/follower_source.hpp"

#include <utility>

#include "wal/reader.hpp"

namespace millrace::historical {

Result<bool> FollowerSource::fetch(Batch& into) {
  if (stopped_) return fail(*stopped_);
  for (;;) {
    Follower& follower = *subscriber_->follower();
    const auto event = follower.next();
    if (stopped_) return fail(*stopped_);
    if (event) {
      into = {FrameCursor(event->frame.bytes()),
              *event->offset,
              event->offset->next(),
              event->publisher,
              event->epoch,
              event->record_time};
      return true;
    }
    if (!follower.error()) return false;
    MILLRACE_TRY(pass(*follower.error()));
  }
}

void FollowerSource::on_gap(const Gap& gap) {
  if (gap.reason != Gap::Reason::rolled_back) {
    tell_({.kind = Notice::Kind::gap, .gap = gap});
    return;
  }
  const Error error{ErrorCode::rolled_back, "all from offset " + std::to_string(gap.void_from.value()) +
                                                " on is void: the log lost it with the host"};
  if (on_loss_ == OnLoss::stop) stopped_ = error;
  tell_({.kind = Notice::Kind::rolled_back,
         .from = gap.void_from,
         .to = gap.void_from,
         .gap = gap,
         .message = error.message});
}

// A follower stands still at what is lost. The log says where it goes on, and a new follower begins there.
Status FollowerSource::pass(const Error& error) {
  if (on_loss_ == OnLoss::stop) return fail(error);
  const Offset before = subscriber_->follower()->position().offset;
  Notice notice{.from = before, .message = error.message};
  if (error.code == ErrorCode::corrupt) {
    notice.kind = Notice::Kind::corrupt;
    auto log = wal::Reader::open(*files_, folder_);
    if (!log) return fail(log.error());
    MILLRACE_TRY(log->seek(before));
    for (;;) {
      const auto batch = log->next();
      if (!batch && batch.error().code == ErrorCode::corrupt && log->corruption()) break;
      if (!batch) return fail(batch.error());
      if (!*batch || (*batch)->next_offset() > before) return fail(error);  // not where the follower met it
    }
    notice.from = log->corruption()->from;
    notice.to = log->corruption()->to;
    if (notice.to <= before) return fail(error);
  } else if (error.code == ErrorCode::deleted) {
    notice.kind = Notice::Kind::deleted;
    const auto log = wal::Reader::open(*files_, folder_);
    if (!log) return fail(log.error());
    notice.to = log->first_offset();
  } else {
    return fail(error);
  }
  const auto there = seek(notice.to);
  if (!there) return fail(there.error());
  tell_(notice);
  return {};
}

Result<Offset> FollowerSource::seek(const Start& start) {
  auto subscriber = subscribe_(start, [this](const Gap& gap) { on_gap(gap); });
  if (!subscriber) return fail(subscriber.error());
  subscriber_ = std::move(*subscriber);
  stopped_.reset();
  return subscriber_->follower()->position().offset;
}

}  // namespace millrace::historical
