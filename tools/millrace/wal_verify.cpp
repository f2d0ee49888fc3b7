#include "tools/millrace/wal_verify.hpp"

#include <algorithm>
#include <cstdio>

#include "subscribers/historical/log_source.hpp"
#include "tools/millrace/interrupt.hpp"
#include "wal/chain.hpp"
#include "wal/index.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/seals.hpp"

namespace millrace::cli {
namespace {

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

}  // namespace

void Verifier::wrong(Offset at, const std::string& what) {
  ++counts_.wrong;
  report_("offset " + number(at.value()) + ": " + what);
}

void Verifier::take(const wal::Corruption& corruption) {
  ++counts_.wrong;
  report_(corruption.message());
  forget();
}

void Verifier::forget() {
  next_.reset();
  streams_.clear();
}

void Verifier::take(const wal::BatchView& batch) {
  ++counts_.batches;
  if (next_ && batch.first_offset != *next_) {
    wrong(batch.first_offset, "offset " + number(next_->value()) + " was to follow");
  }
  next_ = batch.next_offset();
  if (batch.record_time < time_) wrong(batch.first_offset, "the record time goes back");
  time_ = batch.record_time;
  if (batch.run < run_) wrong(batch.first_offset, "run " + number(batch.run.value()) + " follows a later one");
  if (batch.run != run_) ++counts_.runs;
  run_ = batch.run;

  switch (batch.kind) {
    case wal::BatchKind::events:
      take_sequences(batch, batch.first_sequence, batch.count);
      take_frames(batch);
      break;
    case wal::BatchKind::gap: {
      const wal::GapView gap = batch.gap();
      if (gap.to < gap.from) {
        wrong(batch.first_offset, "a gap ends before it begins");
        break;
      }
      const std::uint64_t count = gap.to - gap.from + 1;
      counts_.gaps += count;
      take_sequences(batch, gap.from, count);
      break;
    }
    case wal::BatchKind::publisher:
      if (const auto granted = batch.granted(); !granted) {
        wrong(batch.first_offset, granted.error().message);
      } else {
        Stream& stream = streams_[granted->id];
        if (granted->epoch <= stream.epoch) {
          wrong(batch.first_offset, "publisher " + number(granted->id.value()) + " was granted epoch " +
                                        number(granted->epoch.value()) + " after " + number(stream.epoch.value()));
        }
        stream.epoch = granted->epoch;
      }
      break;
  }
}

void Verifier::take_sequences(const wal::BatchView& batch, Sequence first, std::uint64_t count) {
  Stream& stream = streams_[batch.publisher];
  const std::string who = "publisher " + number(batch.publisher.value());
  // What came before the log's first segment, or a corruption, is not known.
  if (stream.last != Sequence() && first != stream.last.next()) {
    wrong(batch.first_offset,
          who + " goes on with sequence " + number(first.value()) + " after " + number(stream.last.value()));
  }
  if (stream.epoch != Epoch() && batch.epoch != stream.epoch) {
    wrong(batch.first_offset,
          who + " is in epoch " + number(batch.epoch.value()) + ", granted was " + number(stream.epoch.value()));
  }
  stream.last = Sequence(first.value() + count - 1);
  stream.epoch = batch.epoch;
}

void Verifier::take_frames(const wal::BatchView& batch) {
  wal::EventCursor events(batch);
  std::uint64_t count = 0;
  while (const auto event = events.next()) {
    const FrameView& frame = event->frame;
    counts_.bytes += frame.size();
    if (frame.sequence() != batch.first_sequence + count) {
      wrong(event->offset, "the frame has sequence " + number(frame.sequence().value()) + ", not " +
                               number((batch.first_sequence + count).value()));
    }
    const schemas::EventType* type = types_.find(frame.event_type(), event->offset);
    if (type != nullptr && !type->verify(frame.payload())) {
      wrong(event->offset, "the event is no valid " + std::string(type->name()));
    }
    ++count;
  }
  counts_.events += count;
  if (events.malformed()) wrong(batch.first_offset + count, "the frame's length is wrong");
  if (count != batch.count) {
    wrong(batch.first_offset, "the batch holds " + number(count) + " events, its header says " + number(batch.count));
  }
}

namespace {

void say(const std::string& what) {
  std::fprintf(stderr, "millrace: %s\n", what.c_str());
}

// An index is only a short cut, and readers do not trust it; but one that is wrong is a sign that something is amiss.
// The number of those that are.
Result<std::uint64_t> verify_indexes(wal::FileSystem& files, const std::string& folder) {
  const auto links = wal::list_chain(files, folder);
  if (!links) return fail(links.error());
  std::uint64_t wrong = 0;
  for (const wal::Link& link : *links) {
    const std::string name = wal::to_index_name(link.name);
    const auto is_there = [&] { return files.open(wal::join(folder, name), wal::OpenMode::read).has_value(); };
    if (!link.end || !link.header_valid || !is_there()) continue;
    const auto index = wal::read_index(files, folder, link.name, link.log_id, *link.end);
    if (index.empty()) {
      if (!is_there()) continue;  // retention deletes it just now
      say("index " + name + " is damaged; delete it, the core makes it anew");
      ++wrong;
      continue;
    }
    auto segment = wal::SegmentReader::open(files, folder, link.name, wal::ReadMode::pread);
    if (!segment && segment.error().code == ErrorCode::deleted) continue;
    if (!segment) return fail(segment.error());
    for (const wal::IndexEntry& entry : index) {
      if (interrupted()) return wrong;
      const auto batch = segment->batch_at(entry.byte, wal::Check::header);
      if (!batch) return fail(batch.error());
      if (*batch && (*batch)->header.first_offset == entry.first_offset &&
          (*batch)->header.record_time == entry.record_time) {
        continue;
      }
      say("index " + name + " leads to byte " + number(entry.byte) + " for offset " + number(entry.first_offset) +
          ", but no such batch stands there; if the segment is sound, delete the "
          "index, the core makes it anew");
      ++wrong;
      break;
    }
  }
  return wrong;
}

// Whether all is well.
Result<bool> verify_chain(wal::FileSystem& files, const std::string& folder, const std::string& expected, Output& out) {
  const auto wanted = wal::from_hex(expected);
  if (!expected.empty() && !wanted) {
    return fail(ErrorCode::invalid_argument, "--expect-seal wants 64 hexadecimal digits, as `wal verify` prints them");
  }
  const auto seals = wal::verify_seals(files, folder, interrupted);
  if (!seals) return fail(seals.error());
  for (const std::string& wrong : seals->wrong) say(wrong);
  bool good = seals->wrong.empty();
  if (wanted && std::find(seals->chain.begin(), seals->chain.end(), *wanted) == seals->chain.end()) {
    say("no seal in the log has the chain value " + expected +
        ": what was recorded up to there was changed, or deleted");
    good = false;
  }
  if (seals->sealed + seals->not_yet > 0) {
    out.text() += "seals: " + std::string(seals->wrong.empty() ? "ok" : "BAD") + ": " + number(seals->sealed) +
                  " segments sealed, " + number(seals->not_yet) + " not yet" +
                  (seals->chain.empty() ? "" : "; the chain ends with " + wal::hex_of(seals->chain.back())) + "\n";
  }
  return good;
}

}  // namespace

Exit wal_verify(const LogChoice& choice, Output& out, const std::string& expect_seal, wal::FileSystem& files) {
  const auto folder = find_log(choice);
  if (!folder) return complain(folder.error());
  auto log = wal::Reader::open(files, *folder);
  if (!log) return complain(log.error());
  LogTypes types(*folder, choice.root);
  Verifier verifier(types, say);
  const Offset first = log->first_offset();
  const auto end = log->end_offset();  // of now, so that a log that is being written is verified to an end
  if (!end) return complain(end.error());
  bool unreadable = false;
  while (!interrupted()) {
    const auto batch = log->next(*end);
    if (!batch && batch.error().code == ErrorCode::corrupt && log->corruption()) {
      verifier.take(*log->corruption());
      continue;
    }
    if (!batch && batch.error().code == ErrorCode::deleted) {
      say(batch.error().message);
      verifier.forget();
      const Status there = historical::seek_what_is_left(*log, log->position());
      if (there) continue;
      static_cast<void>(complain(there.error()));
      unreadable = true;
      break;
    }
    if (!batch) {
      static_cast<void>(complain(batch.error()));
      unreadable = true;
      break;
    }
    if (!*batch) break;
    verifier.take(**batch);
  }
  const Verifier::Counts& counts = verifier.counts();
  char line[320];
  std::snprintf(line, sizeof line,
                "%s: %s: offsets %llu to %llu, %llu events in %llu batches, %llu bytes, %llu runs, %llu events never "
                "recorded, %llu wrong\n",
                folder->c_str(), counts.wrong == 0 && !unreadable ? "ok" : "BAD",
                static_cast<unsigned long long>(first.value()),
                static_cast<unsigned long long>(log->position().value()),
                static_cast<unsigned long long>(counts.events), static_cast<unsigned long long>(counts.batches),
                static_cast<unsigned long long>(counts.bytes), static_cast<unsigned long long>(counts.runs),
                static_cast<unsigned long long>(counts.gaps), static_cast<unsigned long long>(counts.wrong));
  out.text() += line;
  if (!types.problem().empty()) out.text() += "events were not looked into: " + types.problem() + "\n";
  if (interrupted()) return out.finish(Exit::failed);
  const auto indexes = verify_indexes(files, *folder);
  if (!indexes) return complain(indexes.error());
  const auto sealed = verify_chain(files, *folder, expect_seal, out);
  if (!sealed) return complain(sealed.error());
  return out.finish(counts.wrong == 0 && !unreadable && *indexes == 0 && *sealed ? Exit::ok : Exit::failed);
}

}  // namespace millrace::cli
