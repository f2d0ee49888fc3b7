#include "wal/recovery.hpp"

#include <algorithm>
#include <cstring>

#include "wal/index.hpp"

namespace millrace::wal {
namespace {

bool continues(const Batch& batch, const Place& place) {
  return batch.header.previous == place.previous && batch.header.first_offset == place.next_offset.value();
}

void pass(const Batch& batch, Place& place) {
  place = {batch.end(), batch.next_offset(), batch.header.checksum};
}

}  // namespace

Place begin_of(const SegmentReader& segment) {
  if (!segment.header_valid()) return {0, segment.name().first_offset, 0};
  return {segment.header().header_bytes, segment.name().first_offset, segment.header().checksum};
}

Result<Step> step(SegmentReader& segment, Place& place, const Bound& bound, LookBehind look, Check check) {
  if (bound.end && place.at >= *bound.end) return NothingYet{};
  auto batch = segment.batch_at(place.at, check);
  if (!batch) return fail(batch.error());
  if (*batch && continues(**batch, place)) {
    pass(**batch, place);
    return **batch;
  }
  const bool header_lost = place.at == 0;
  if (!bound.end && !header_lost) {
    const auto proven = segment.proves_synced(place.at, std::max(look.from, place.at), look.to);
    if (!proven) return fail(proven.error());
    if (!*proven) return NothingYet{};
    // The writer may have written it while we looked.
    batch = segment.batch_at(place.at, check);
    if (!batch) return fail(batch.error());
    if (*batch && continues(**batch, place)) {
      pass(**batch, place);
      return **batch;
    }
  }
  Corruption corruption{segment.name(), place.at, 0, place.next_offset, {}, false};
  const std::uint64_t end = bound.end.value_or(segment.size());
  const auto next = segment.find(place.at + 8, end);
  if (!next) return fail(next.error());
  if (*next) {
    corruption.to_byte = (*next)->at;
    corruption.to = Offset((*next)->header.first_offset);
    place = {corruption.to_byte, corruption.to, (*next)->header.previous};
  } else {
    corruption.to_byte = end;
    corruption.to = bound.end ? std::max(bound.next_offset, place.next_offset) : place.next_offset;
    place = {std::max<std::uint64_t>(end, 1), corruption.to, 0};  // never 0, not even in an empty file: that is done
  }
  return corruption;
}

std::optional<Corruption> lost_between(SegmentName segment, const Place& end, const Link& next) {
  if (end.next_offset >= next.name.first_offset) return std::nullopt;
  if (next.missing)
    return Corruption{*next.missing, 0, next.missing_end, end.next_offset, next.name.first_offset, true};
  return Corruption{segment, end.at, end.at, end.next_offset, next.name.first_offset, false};
}

PublisherEntry* find_publisher(std::vector<PublisherEntry>& publishers, PublisherId id) {
  const auto found = std::find_if(publishers.begin(), publishers.end(), [&](const auto& p) { return p.id == id; });
  return found == publishers.end() ? nullptr : &*found;
}

Status apply(const Batch& batch, std::vector<PublisherEntry>& publishers) {
  const PublisherId id(batch.header.publisher);
  if (batch.kind() == BatchKind::publisher) {
    PublisherRecord record;
    std::memcpy(&record, batch.body.data(), sizeof record);
    auto entry = from_record(record);
    if (!entry) return fail(entry.error());
    if (PublisherEntry* known = find_publisher(publishers, id)) {
      *known = std::move(*entry);
    } else {
      publishers.push_back(std::move(*entry));
    }
    return {};
  }
  PublisherEntry* known = find_publisher(publishers, id);
  if (known == nullptr) return {};  // its grant was in a corrupt batch, which was reported
  if (batch.kind() == BatchKind::events) {
    known->last_sequence = Sequence(batch.header.first_sequence + batch.header.count - 1);
  } else {
    GapRecord gap;
    std::memcpy(&gap, batch.body.data(), sizeof gap);
    known->last_sequence = Sequence(gap.to);
  }
  return {};
}

Result<LogState> recover(FileSystem& files, const std::string& folder, std::optional<KnownEnd> limit) {
  LogState state(files, folder);
  Chain& chain = state.chain;
  MILLRACE_TRY(chain.list());
  if (chain.empty()) return state;
  state.number_max = chain.name(chain.size() - 1).number;
  if (limit) chain.drop_behind(limit->segment);
  if (chain.empty()) return state;

  // From the newest header that can be read: it has the table of publishers as it then was.
  std::size_t from = chain.size() - 1;
  for (; from > 0; --from) {
    const auto header = chain.header(from);
    if (!header) return fail(header.error());
    if (*header) break;
    MILLRACE_TRY(chain.settle(from - 1));
  }
  for (std::size_t i = from; i < chain.size(); ++i) {
    const auto counts = chain.link(i);
    if (!counts) return fail(counts.error());
    const Link& link = *counts;
    const bool newest = i + 1 == chain.size();
    auto segment = SegmentReader::open(files, folder, link.name, ReadMode::pread);
    if (!segment) return fail(segment.error());
    if (segment->header_valid()) {
      state.log_id = link.log_id;
      state.run = link.run;
      state.publishers = segment->publishers();
      state.record_time = std::max(state.record_time, link.created);
    }
    Place place = begin_of(*segment);
    Bound bound;
    if (!newest) bound = {link.end, chain.name(i + 1).first_offset};
    if (limit && link.name.number == limit->segment) bound = {limit->byte, place.next_offset};
    const Place begin = place;
    state.synced_through = place.at;
    IndexBuilder index;
    for (;;) {
      const auto next = step(*segment, place, bound);
      if (!next) return fail(next.error());
      if (const auto* corruption = std::get_if<Corruption>(&*next)) {
        state.report.corruptions.push_back(*corruption);
        continue;
      }
      const auto* batch = std::get_if<Batch>(&*next);
      if (batch == nullptr) break;
      state.log_id = LogId{batch->header.log_id};
      state.run = std::max(state.run, Run(batch->header.run));
      state.record_time = std::max(state.record_time, batch->header.record_time);
      state.synced_through = std::max(state.synced_through, batch->header.synced_through);
      index.add(batch->header, batch->at);
      MILLRACE_TRY(apply(*batch, state.publishers));
    }
    if (!newest) {
      const auto next = chain.link(i + 1);
      if (!next) return fail(next.error());
      if (auto lost = lost_between(link.name, place, *next)) state.report.corruptions.push_back(*lost);
      continue;
    }
    state.last = link.name;
    state.end = place;
    state.index = index.entries();
    if (!bound.end) {
      // A torn batch begins with our magic and number, or its later blocks hold whole batches of ours.
      const auto torn = segment->find(place.at + 8, segment->size());
      if (!torn) return fail(torn.error());
      std::uint64_t end = *torn ? (*torn)->end() : place.at;
      std::byte bytes[sizeof(BatchHeader)];
      const auto got = segment->file().pread(bytes, place.at);
      if (got && *got == sizeof bytes) {
        BatchHeader header;
        std::memcpy(&header, bytes, sizeof header);
        if (header.magic == batch_magic && header.segment == link.name.number.value()) {
          end = std::max(end, std::min(segment->size(), place.at + sizeof header + header.bytes));
        }
      }
      state.report.torn_bytes = end - place.at;
      state.empty = segment->header_valid() && place.at == begin.at && state.report.torn_bytes == 0;
    }
  }
  return state;
}

}  // namespace millrace::wal
