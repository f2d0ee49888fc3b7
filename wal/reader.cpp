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
  MILLRACE_TRY(reader.refresh());
  MILLRACE_TRY(reader.enter(0, true));
  return reader;
}

Status Reader::refresh() {
  auto chain = list_chain(*files_, folder_);
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
  looked_behind_.reset();
  if (from_begin) wanted_ = place_.next_offset;
  return {};
}

Result<bool> Reader::advance() {
  // Cheap first: the folder is looked at only by name.
  const auto names = list_segment_files(*files_, folder_);
  if (!names) return fail(names.error());
  if (names->empty() || names->back().number <= segment_->name().number) return false;
  MILLRACE_TRY(refresh());
  std::size_t here = link_now();
  if (here == chain_.size()) {
    // Deleted behind us, or void: the chain goes on at the first segment with a higher number.
    const auto after = std::find_if(chain_.begin(), chain_.end(),
                                    [&](const Link& link) { return link.name.number > segment_->name().number; });
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
  MILLRACE_TRY(enter(here + 1, false));
  return true;
}

Result<std::optional<BatchView>> Reader::next(std::optional<Offset> end) {
  for (;;) {
    if (end && place_.next_offset >= *end) return std::nullopt;
    // Looking behind a tail reads the rest of the segment: once for each place, and only if nobody told us the end.
    const bool look_behind = end.has_value() || looked_behind_ != place_.at;
    auto found = step(*segment_, place_, bound_, look_behind && (end.has_value() || !bound_.end));
    if (!found) return fail(found.error());
    if (auto* corruption = std::get_if<Corruption>(&*found)) {
      corruption_ = *corruption;
      wanted_ = std::max(wanted_, corruption->to);
      return fail(ErrorCode::corrupt, corruption->message());
    }
    if (const auto* batch = std::get_if<Batch>(&*found)) {
      const bool behind = batch->kind() == BatchKind::events ? batch->next_offset() <= wanted_
                                                             : Offset(batch->header.first_offset) < wanted_;
      if (behind) continue;
      run_ = Run(batch->header.run);
      wanted_ = batch->next_offset();
      return view_of(*batch);
    }
    looked_behind_ = place_.at;
    const auto advanced = advance();
    if (!advanced) return fail(advanced.error());
    if (!*advanced) return std::nullopt;
  }
}

Status Reader::jump(bool (*before)(const IndexEntry&, std::uint64_t), std::uint64_t key) {
  if (!bound_.end) return {};
  const auto index = read_index(*files_, folder_, segment_->name(), log_id_, *bound_.end);
  const auto past = std::partition_point(index.begin(), index.end(), [&](const auto& e) { return before(e, key); });
  if (past == index.begin()) return {};
  const IndexEntry& entry = *std::prev(past);
  const auto batch = segment_->batch_at(entry.byte, Check::header);
  if (!batch) return fail(batch.error());
  if (*batch) place_ = {entry.byte, Offset(entry.first_offset), (*batch)->header.previous};
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
  MILLRACE_TRY(enter(link, true));
  wanted_ = offset;
  return jump([](const IndexEntry& e, std::uint64_t key) { return e.first_offset < key; }, offset.value());
}

Status Reader::seek_time(WallTime time) {
  MILLRACE_TRY(refresh());
  std::size_t link = 0;
  while (link + 1 < chain_.size() && chain_[link + 1].created < time.ns) ++link;
  MILLRACE_TRY(enter(link, true));
  MILLRACE_TRY(
      jump([](const IndexEntry& e, std::uint64_t key) { return e.record_time < static_cast<std::int64_t>(key); },
           static_cast<std::uint64_t>(time.ns)));
  // Headers tell the time: bodies before it are not read.
  for (;;) {
    const auto batch = segment_->batch_at(place_.at, Check::header);
    if (!batch) return fail(batch.error());
    if (!*batch || (*batch)->header.record_time >= time.ns || (bound_.end && place_.at >= *bound_.end)) break;
    place_ = {(*batch)->end(), (*batch)->next_offset(), (*batch)->header.checksum};
  }
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
