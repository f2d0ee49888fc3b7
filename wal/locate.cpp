#include "wal/locate.hpp"

#include "wal/reader.hpp"
namespace millrace::wal {
Result<Located> locate(FileSystem& files, const std::string& folder, PublisherId id, Epoch epoch, Sequence sequence) {
  auto log = Reader::open(files, folder);
  if (!log) return fail(log.error());
  Epoch newest;
  for (;;) {
    auto batch = log->next();
    if (!batch) return fail(batch.error());
    if (!*batch) break;
    const BatchView& b = **batch;
    if (b.publisher != id) continue;
    newest = std::max(newest, b.epoch);
    if (b.kind == BatchKind::events && b.first_sequence <= sequence && sequence < b.first_sequence + b.count)
      return Located{b.epoch == epoch ? Located::Kind::recorded : Located::Kind::superseded,
                     b.first_offset + (sequence - b.first_sequence), b.epoch};
    if (b.kind == BatchKind::gap && b.gap().from <= sequence && sequence <= b.gap().to)
      return Located{Located::Kind::gap, {}, b.epoch};
  }
  return Located{newest > epoch ? Located::Kind::superseded : Located::Kind::not_there_yet, {}, newest};
}
Result<std::optional<LastEvent>> last_event(FileSystem& files, const std::string& folder, PublisherId id) {
  auto log = Reader::open(files, folder);
  if (!log) return fail(log.error());
  std::optional<LastEvent> found;
  for (;;) {
    auto batch = log->next();
    if (!batch) return fail(batch.error());
    if (!*batch) return found;
    const BatchView& b = **batch;
    if (b.publisher != id || b.kind != BatchKind::events) continue;
    FrameCursor c(b.body);
    Offset o = b.first_offset;
    while (const auto f = c.next()) {
      found = LastEvent{o, f->sequence(), b.epoch, b.record_time, {f->bytes().begin(), f->bytes().end()}};
      ++o;
    }
  }
}
}  // namespace millrace::wal
