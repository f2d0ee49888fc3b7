#include "wal/chain.hpp"

#include <algorithm>

#include "bus/base/assert.hpp"

namespace millrace::wal {
namespace {

bool names(const SegmentHeader& header, SegmentName name) {
  return header.previous_segment != 0 && header.previous_segment == name.number.value() &&
         header.previous_first_offset == name.first_offset.value();
}

// Whether the segment of this header, which counts, says that an older file does not.
bool passes_over(const SegmentHeader& header, SegmentName name) {
  return header.previous_segment == 0 || name.number.value() > header.previous_segment ||
         (name.number.value() == header.previous_segment && name.first_offset.value() != header.previous_first_offset);
}

}  // namespace

Status Chain::list() {
  const auto names = list_segment_files(*files_, folder_);
  if (!names) return fail(names.error());
  take_names(*names);
  return {};
}

void Chain::take_names(const std::vector<SegmentName>& names) {
  std::vector<Entry> entries;
  entries.reserve(names.size());
  auto known = entries_.begin();
  for (const SegmentName name : names) {
    if (gone_ == name && name != names.back()) {  // it is being recycled, and those before it are deleted
      entries.clear();
      continue;
    }
    while (known != entries_.end() && known->name.number < name.number) ++known;
    Entry entry{name, {}};
    // A header never changes while the file has its name. One that was bad is looked at again.
    if (known != entries_.end() && known->name == name && known->header && *known->header) entry.header = known->header;
    entries.push_back(entry);
  }
  entries_ = std::move(entries);
  gone_.reset();
}

void Chain::drop_behind(SegmentNumber number) {
  while (!entries_.empty() && entries_.back().name.number > number) entries_.pop_back();
}

std::size_t Chain::at_or_behind(SegmentNumber number) const {
  const auto found = std::partition_point(entries_.begin(), entries_.end(),
                                          [&](const Entry& entry) { return entry.name.number < number; });
  return static_cast<std::size_t>(found - entries_.begin());
}

Result<SegmentReader> Chain::open(std::size_t i, ReadMode mode) {
  auto segment = SegmentReader::open(*files_, folder_, name(i), mode);
  if (!segment && segment.error().code == ErrorCode::deleted) gone_ = name(i);
  return segment;
}

Result<std::optional<SegmentHeader>> Chain::header(std::size_t i) {
  Entry& entry = entries_[i];
  if (!entry.header) {
    const auto segment = open(i, ReadMode::pread);
    if (!segment) return fail(segment.error());
    entry.header.emplace();
    if (segment->header_valid()) *entry.header = segment->header();
  }
  return *entry.header;
}

Status Chain::settle(std::size_t i) {
  MILLRACE_ASSERT(i < size(), "there is no such segment");
  std::size_t known = i;  // that counts: the newest, or one that the next file names
  for (; known + 1 < size(); ++known) {
    const auto next = header(known + 1);
    if (!next) return fail(next.error());
    if (*next && names(**next, name(known))) break;
  }
  for (; known > i; --known) {
    const auto head = header(known);
    if (!head) return fail(head.error());
    if (*head && passes_over(**head, name(known - 1))) {
      entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(known - 1));
    }
  }
  return {};
}

Result<Link> Chain::link(std::size_t i) {
  MILLRACE_TRY(settle(i));
  const auto head = header(i);
  if (!head) return fail(head.error());
  Link link{name(i), head->has_value(), {}, {}, 0, 0, Run(0), {}};
  if (*head) {
    link.created = (*head)->created;
    link.run = Run((*head)->run);
    link.log_id = LogId{(*head)->log_id};
    const SegmentName previous{Offset((*head)->previous_first_offset), SegmentNumber((*head)->previous_segment)};
    std::size_t at = at_or_behind(previous.number);
    const bool older = at > 0;
    while (at < size() && name(at).number == previous.number && name(at) != previous) ++at;
    if (older && (at == size() || name(at) != previous)) {
      link.missing = previous;
      link.missing_end = (*head)->previous_end;
    }
  }
  if (i + 1 == size()) return link;
  MILLRACE_TRY(settle(i + 1));
  const auto next = header(i + 1);
  if (!next) return fail(next.error());
  if (*next && names(**next, link.name)) link.end = (*next)->previous_end;
  return link;
}

Result<std::vector<Link>> Chain::links() {
  std::vector<Link> links;
  for (std::size_t i = size(); i-- > 0;) {
    const std::size_t before = size();
    MILLRACE_TRY(settle(i));
    if (size() != before) continue;  // it was void: here stands the one that was taken last
    const auto found = link(i);
    if (!found && found.error().code == ErrorCode::deleted && !links.empty()) {
      entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(i + 1));  // so are all before it
      break;
    }
    if (!found) return fail(found.error());
    links.push_back(*found);
  }
  std::reverse(links.begin(), links.end());
  return links;
}

Result<std::size_t> Chain::before(std::size_t i) {
  for (; i > 0; --i) {
    const SegmentName name = entries_[i - 1].name;
    MILLRACE_TRY(settle(i - 1));
    if (entries_[i - 1].name == name) return i - 1;
  }
  return 0;
}

Result<std::size_t> Chain::begins_before(Offset offset) {
  const auto found = std::partition_point(entries_.begin(), entries_.end(),
                                          [&](const Entry& entry) { return entry.name.first_offset < offset; });
  const auto last = before(static_cast<std::size_t>(found - entries_.begin()));
  if (!last) return fail(last.error());
  MILLRACE_TRY(settle(*last));
  return *last;
}

Result<std::size_t> Chain::readable(std::size_t begin, std::size_t middle, std::size_t end) {
  for (std::size_t i = middle + 1; i-- > begin;) {
    const auto head = header(i);
    if (!head) return fail(head.error());
    if (*head) return i;
  }
  for (std::size_t i = middle + 1; i < end; ++i) {
    const auto head = header(i);
    if (!head) return fail(head.error());
    if (*head) return i;
  }
  return end;
}

Result<std::vector<Link>> list_chain(FileSystem& files, const std::string& folder) {
  Chain chain(files, folder);
  MILLRACE_TRY(chain.list());
  return chain.links();
}

}  // namespace millrace::wal
