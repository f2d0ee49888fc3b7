#include "wal/reader.hpp"

#include <algorithm>
#include <cstring>

#include "bus/base/assert.hpp"
#include "wal/cold.hpp"
#include "wal/index.hpp"

namespace millrace::wal {
namespace {

BatchView view_of(const Batch& batch) {
  const BatchHeader& h = batch.header;
  return {batch.kind(),
          Offset(h.first_offset),
          PublisherId(h.publisher),
          Epoch(h.epoch),
          Sequence(h.first_sequence),
          h.count,
          WallTime{h.record_time},
          Run(h.run),
          batch.body};
}

IndexEntry entry_of(const Batch& batch) {
  return {batch.header.first_offset, batch.header.record_time, batch.at};
}

constexpr std::uint64_t look_step = 4096;
constexpr std::uint64_t list_every = 64;
constexpr int attempts_max = 8;

// Where to look next for a proof that what stands at `place` was synced: a little further, at the end from there again.
LookBehind look_on(const LookBehind& look, const Place& place, std::uint64_t size) {
  const std::uint64_t from = look.to >= size ? place.at : std::max(look.to, place.at);
  return {from, from + look_step};
}

}  // namespace

GapView BatchView::gap() const {
  MILLRACE_ASSERT(kind == BatchKind::gap, "this batch is not a gap");
  GapRecord record;
  std::memcpy(&record, body.data(), sizeof record);
  return {Sequence(record.from), Sequence(record.to), record.reason};
}

Result<PublisherEntry> BatchView::granted() const {
  MILLRACE_ASSERT(kind == BatchKind::publisher, "this batch is not a grant");
  PublisherRecord record;
  std::memcpy(&record, body.data(), sizeof record);
  return from_record(record);
}

Result<Reader> Reader::open(FileSystem& files, const std::string& folder, ReadMode mode) {
  Reader reader(files, folder, mode);
  MILLRACE_TRY(reader.retried([&] { return reader.enter(0, true); }));
  return reader;
}

Result<std::optional<Offset>> Reader::end_of_run(Run run) {
  const auto find = [&]() -> Result<std::optional<Offset>> {
    const auto next = chain_.first([&](const SegmentHeader& header) { return Run(header.run) > run; });
    if (!next) return fail(next.error());
    if (*next == chain_.size()) return std::nullopt;
    return chain_.name(*next).first_offset;
  };
  return retried(find, false);
}

template <class Go>
auto Reader::retried(const Go& go, bool listed) -> decltype(go()) {
  for (int attempt = 0;; ++attempt) {
    const Status fresh = listed || attempt > 0 ? refresh() : Status();
    auto answer = fresh ? go() : decltype(go())(fail(fresh.error()));
    if (answer || !chain_.stale() || attempt == attempts_max) return answer;
  }
}

Status Reader::refresh() {
  const auto names = list_segment_files(*files_, folder_);
  if (!names) return fail(names.error());
  if (names->empty()) return fail(ErrorCode::not_found, "there is no log in " + folder_ + " yet; start its recorder");
  chain_.take_names(*names);
  MILLRACE_TRY(chain_.settle(0));
  for (std::size_t i = chain_.size(); i-- > 0;) {
    const auto header = chain_.header(i);
    if (!header) return fail(header.error());
    if (!*header) continue;
    log_id_ = LogId{(*header)->log_id};
    break;
  }
  return {};
}

Status Reader::enter(std::size_t i, bool from_begin) {
  const auto link = chain_.link(i);
  if (!link) return fail(link.error());
  auto segment = chain_.open(i, mode_);
  if (!segment) return fail(segment.error());
  segment_.emplace(std::move(*segment));
  place_ = begin_of(*segment_);
  run_ = link->run;
  bound_ = {};
  if (link->end) bound_ = {link->end, chain_.name(i + 1).first_offset};
  look_ = {};
  if (from_begin) wanted_ = place_.next_offset;
  return {};
}

tl::unexpected<Error> Reader::report(const Corruption& corruption) {
  corruption_ = corruption;
  wanted_ = std::max(wanted_, corruption.to);
  return fail(ErrorCode::corrupt, corruption.message());
}

Result<bool> Reader::advance(bool expected) {
  const SegmentName here_name = segment_->name();
  if (!expected && tail_polls_ % list_every != 0) {
    // Nearly always the next segment has the next number and begins with the next offset: a name to try, no list. It
    // may have been compressed meanwhile.
    const SegmentName next{place_.next_offset, here_name.number.next()};
    const auto file = open_segment_file(*files_, folder_, next);
    if (!file && file.error().code == ErrorCode::not_found) return false;
  }
  const auto names = list_segment_files(*files_, folder_);
  if (!names) return fail(names.error());
  if (names->empty() || names->back().number <= here_name.number) return false;
  return retried([&] { return go_on(); });
}

Result<bool> Reader::go_on() {
  const SegmentName here_name = segment_->name();
  std::size_t next = chain_.at_or_behind(here_name.number);
  if (next == chain_.size()) return false;
  MILLRACE_TRY(chain_.settle(next));
  if (chain_.name(next) == here_name) {
    if (++next == chain_.size()) return false;
    const auto here = chain_.link(next - 1);
    if (!here) return fail(here.error());
    if (!bound_.end && here->end) {
      bound_ = {here->end, chain_.name(next).first_offset};
      if (place_.at < *bound_.end) return true;  // there is more in this one
    }
  } else if (next == 0 && chain_.name(0).first_offset > place_.next_offset) {
    // Deleted behind us. Or void: then the chain goes on at the first segment with a higher number.
    return fail_deleted(place_.next_offset, chain_.name(0).first_offset);
  }
  const auto link = chain_.link(next);
  if (!link) return fail(link.error());
  if (link->name.first_offset < place_.next_offset && link->header_valid && link->run != run_ &&
      link->name.first_offset < wanted_) {
    const Offset common = link->name.first_offset;
    MILLRACE_TRY(enter(next, true));
    return fail(ErrorCode::rolled_back, "offsets from " + std::to_string(common.value()) +
                                            " on were given out again after a crash; forget what came from them");
  }
  const auto lost = lost_between(here_name, place_, *link);
  MILLRACE_TRY(enter(next, false));
  if (lost && lost->to > wanted_) return report(*lost);
  return true;
}

Result<std::optional<BatchView>> Reader::next(std::optional<Offset> end) {
  for (;;) {
    if (end && place_.next_offset >= *end) return std::nullopt;
    auto found = step(*segment_, place_, bound_, look_);
    if (!found) return fail(found.error());
    if (const auto* corruption = std::get_if<Corruption>(&*found)) {
      if (corruption->from < wanted_ && corruption->to <= wanted_) continue;  // before what was sought
      return report(*corruption);
    }
    if (const auto* batch = std::get_if<Batch>(&*found)) {
      if (searched_) look_ = {0, 0};
      const bool behind = batch->kind() == BatchKind::events ? batch->next_offset() <= wanted_
                                                             : Offset(batch->header.first_offset) < wanted_;
      if (behind) continue;
      run_ = Run(batch->header.run);
      wanted_ = batch->next_offset();
      return view_of(*batch);
    }
    const auto advanced = advance(end.has_value() || bound_.end.has_value());
    ++tail_polls_;
    if (!advanced) return fail(advanced.error());
    if (*advanced) continue;
    searched_ = true;
    look_ = look_on(look_, place_, segment_->size());
    return std::nullopt;
  }
}

template <class Before>
Status Reader::jump(const Before& before) {
  if (bound_.end) {
    const auto index = read_index(*files_, folder_, segment_->name(), log_id_, *bound_.end);
    const auto past = std::partition_point(index.begin(), index.end(), before);
    if (past != index.begin() && std::prev(past)->byte < *bound_.end) {
      const std::uint64_t at = std::prev(past)->byte;
      const auto batch = segment_->batch_at(at, Check::header);
      if (!batch) return fail(batch.error());
      // The batch itself says whether it is before: so an index that is wrong misleads nobody.
      if (*batch && before(entry_of(**batch))) {
        const BatchHeader& header = (*batch)->header;
        place_ = {at, Offset(header.first_offset), header.previous};
      }
    }
  }
  // Headers tell where to stop: bodies before it are not read.
  while (!bound_.end || place_.at < *bound_.end) {
    const auto batch = segment_->batch_at(place_.at, Check::header);
    if (!batch) return fail(batch.error());
    if (!*batch || (*batch)->header.previous != place_.previous) break;
    const BatchHeader& header = (*batch)->header;
    if (!before(IndexEntry{(*batch)->next_offset().value(), header.record_time, 0})) break;
    place_ = {(*batch)->end(), (*batch)->next_offset(), header.checksum};
  }
  return {};
}

Status Reader::seek(Offset offset) {
  searched_ = false;
  return retried([&]() -> Status {
    if (offset < first_offset()) return fail_deleted(offset, first_offset());
    // The last segment that begins before it, so that a gap recorded just before the event is seen too.
    const auto last = chain_.begins_before(offset);
    if (!last) return fail(last.error());
    MILLRACE_TRY(enter(*last, true));
    wanted_ = offset;
    return jump([&](const IndexEntry& e) { return e.first_offset < offset.value(); });
  });
}

Status Reader::seek_time(WallTime time) {
  searched_ = false;
  const auto past = [&](const SegmentHeader& header) { return header.created >= time.ns; };
  return retried([&]() -> Status {
    const auto first = chain_.first(past);
    if (!first) return fail(first.error());
    auto last = chain_.before(*first);
    // A header that is bad tells no time: what is looked for may stand before it.
    for (; last && *last > 0; last = chain_.before(*last)) {
      const auto header = chain_.header(*last);
      if (!header) return fail(header.error());
      if (*header) break;
    }
    if (!last) return fail(last.error());
    for (std::size_t i = *last;; ++i) {
      MILLRACE_TRY(enter(i, true));
      MILLRACE_TRY(jump([&](const IndexEntry& e) { return e.record_time < time.ns; }));
      wanted_ = place_.next_offset;
      if (!bound_.end || place_.at < *bound_.end) return {};
      const auto next = chain_.header(i + 1);
      if (!next) return fail(next.error());
      if (*next && past(**next)) return {};
    }
  });
}

Result<Offset> Reader::end_offset() {
  MILLRACE_TRY(retried([&]() -> Status {
    const std::size_t newest = chain_.size() - 1;
    if (tail_ && tail_->segment.name() == chain_.name(newest)) return {};
    auto segment = chain_.open(newest, ReadMode::pread);  // once through all of it: faster than by pages
    if (!segment) return fail(segment.error());
    const Place begin = begin_of(*segment);
    tail_ = Tail{std::move(*segment), begin, {}};
    return {};
  }));
  Tail& tail = *tail_;
  for (;;) {
    const auto found = step(tail.segment, tail.place, {}, tail.look);
    if (!found) return fail(found.error());
    if (std::holds_alternative<NothingYet>(*found)) break;
  }
  tail.look = look_on(tail.look, tail.place, tail.segment.size());
  return tail.place.next_offset;
}

Result<std::vector<PublisherEntry>> Reader::publishers() {
  auto state = recover(*files_, folder_);
  if (!state) return fail(state.error());
  return std::move(state->publishers);
}

}  // namespace millrace::wal
