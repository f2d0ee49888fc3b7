#include "wal/reader.hpp"

#include <algorithm>
#include <cstring>

#include "bus/base/assert.hpp"
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
  for (int attempt = 0;; ++attempt) {
    MILLRACE_TRY(reader.refresh());
    const Status entered = reader.enter(0, true);
    if (entered) return reader;
    // Deleted since the chain was read: there is a newer first one.
    if (entered.error().code != ErrorCode::deleted || attempt == attempts_max) return fail(entered.error());
  }
}

std::optional<Offset> Reader::end_of_run(Run run) const {
  for (const Link& link : chain_) {
    if (link.header_valid && link.run > run) return link.name.first_offset;
  }
  return std::nullopt;
}

Status Reader::refresh() {
  auto chain = list_chain(*files_, folder_);
  for (int attempt = 0; !chain && chain.error().code == ErrorCode::deleted && attempt < attempts_max; ++attempt) {
    chain = list_chain(*files_, folder_);  // the newest was recycled since the folder was listed
  }
  if (!chain) return fail(chain.error());
  if (chain->empty()) return fail(ErrorCode::not_found, "there is no log in " + folder_ + " yet; start its recorder");
  chain_ = std::move(*chain);
  for (const Link& link : chain_) {
    if (link.header_valid) log_id_ = link.log_id;
  }
  return {};
}

std::size_t Reader::link_now() const {
  const auto found = std::find_if(chain_.begin(), chain_.end(),
                                  [&](const Link& link) { return segment_ && link.name == segment_->name(); });
  return static_cast<std::size_t>(found - chain_.begin());
}

Status Reader::enter(std::size_t link, bool from_begin) {
  auto segment = SegmentReader::open(*files_, folder_, chain_[link].name, mode_);
  if (!segment) return fail(segment.error());
  segment_.emplace(std::move(*segment));
  place_ = begin_of(*segment_);
  run_ = chain_[link].run;
  bound_ = {};
  if (chain_[link].end && link + 1 < chain_.size()) bound_ = {chain_[link].end, chain_[link + 1].name.first_offset};
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
    // Nearly always the next segment has the next number and begins with the next offset: one name to try, no list.
    const SegmentName next{place_.next_offset, here_name.number.next()};
    if (!files_->open(join(folder_, to_file_name(next)), OpenMode::read)) return false;
  }
  const auto names = list_segment_files(*files_, folder_);
  if (!names) return fail(names.error());
  if (names->empty() || names->back().number <= here_name.number) return false;
  MILLRACE_TRY(refresh());
  std::size_t here = link_now();
  if (here == chain_.size()) {
    // Deleted behind us, or void: the chain goes on at the first segment with a higher number.
    const auto after = std::find_if(chain_.begin(), chain_.end(),
                                    [&](const Link& link) { return link.name.number > here_name.number; });
    if (after == chain_.end()) return false;
    if (after == chain_.begin() && after->name.first_offset > place_.next_offset) {
      return fail(ErrorCode::deleted, "the log was deleted up to offset " +
                                          std::to_string(after->name.first_offset.value()) + "; begin there");
    }
    here = static_cast<std::size_t>(after - chain_.begin()) - 1;  // wraps to "before the first"
  } else if (here + 1 == chain_.size()) {
    return false;
  } else if (!bound_.end && chain_[here].end) {
    bound_ = {chain_[here].end, chain_[here + 1].name.first_offset};
    if (place_.at < *bound_.end) return true;  // there is more in this one
  }
  const Link& next = chain_[here + 1];
  if (next.name.first_offset < place_.next_offset && next.header_valid && next.run != run_ &&
      next.name.first_offset < wanted_) {
    const Offset common = next.name.first_offset;
    MILLRACE_TRY(enter(here + 1, true));
    return fail(ErrorCode::rolled_back, "offsets from " + std::to_string(common.value()) +
                                            " on were given out again after a crash; forget what came from them");
  }
  const auto lost = lost_between(here_name, place_, next);
  MILLRACE_TRY(enter(here + 1, false));
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
    const std::uint64_t from = look_.to >= segment_->size() ? place_.at : std::max(look_.to, place_.at);
    look_ = {from, from + look_step};
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
  MILLRACE_TRY(refresh());
  if (offset < first_offset()) {
    return fail(ErrorCode::deleted, "offset " + std::to_string(offset.value()) +
                                        " was deleted; the first there is is " +
                                        std::to_string(first_offset().value()));
  }
  // The last segment that begins before it, so that a gap recorded just before the event is seen too.
  std::size_t link = 0;
  while (link + 1 < chain_.size() && chain_[link + 1].name.first_offset < offset) ++link;
  searched_ = false;
  MILLRACE_TRY(enter(link, true));
  wanted_ = offset;
  return jump([&](const IndexEntry& e) { return e.first_offset < offset.value(); });
}

Status Reader::seek_time(WallTime time) {
  MILLRACE_TRY(refresh());
  std::size_t link = 0;
  while (link + 1 < chain_.size() && chain_[link + 1].created < time.ns) ++link;
  searched_ = false;
  MILLRACE_TRY(enter(link, true));
  MILLRACE_TRY(jump([&](const IndexEntry& e) { return e.record_time < time.ns; }));
  wanted_ = place_.next_offset;
  return {};
}

Result<Offset> Reader::end_offset() {
  const auto state = recover(*files_, folder_);
  if (!state) return fail(state.error());
  return state->end.next_offset;
}

Result<std::vector<PublisherEntry>> Reader::publishers() {
  auto state = recover(*files_, folder_);
  if (!state) return fail(state.error());
  return std::move(state->publishers);
}

}  // namespace millrace::wal
