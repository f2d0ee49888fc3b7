#include "bus/ring/ring.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "bus/base/assert.hpp"

namespace millrace::ring {
namespace {

std::size_t round_up(std::size_t value, std::size_t to) {
  return (value + to - 1) / to * to;
}

std::size_t pages_offset_for(std::size_t slots) {
  return round_up(directory_offset + std::bit_ceil(slots) * sizeof(Word), limits::memory_page);
}

}  // namespace

Ring::Ring(std::byte* base, const FixedLine& fixed)
    : base_(base),
      pages_(base + fixed.pages_offset),
      directory_(reinterpret_cast<Word*>(base + directory_offset)),
      granted_(&reinterpret_cast<RingHeader*>(base)->core.granted),
      core_lines_(pages_ + offsetof(PageHeader, core)),
      core_line_stride_(fixed.page_size),
      page_size_(fixed.page_size),
      slot_count_(fixed.slot_count),
      directory_mask_(fixed.directory_size - 1) {}

std::size_t Ring::slots_in(std::size_t bytes, std::size_t page_size) {
  // Searched by halves, as a configuration may say anything: the more slots, the more bytes.
  std::size_t fit = 0;
  for (std::size_t too_many = bytes / page_size + 1; too_many - fit > 1;) {
    const std::size_t slots = fit + (too_many - fit) / 2;
    (pages_offset_for(slots) <= bytes - slots * page_size ? fit : too_many) = slots;
  }
  return fit;
}

Result<Ring> Ring::create(std::span<std::byte> memory, std::size_t page_size) {
  MILLRACE_ASSERT(reinterpret_cast<std::uintptr_t>(memory.data()) % limits::memory_page == 0, "a ring is page-aligned");
  if (!std::has_single_bit(page_size) || page_size < limits::memory_page || page_size > limits::page_size_max) {
    return fail(ErrorCode::invalid_argument,
                "page size " + std::to_string(page_size) + " is not a power of two from 4 KiB to 4 MiB");
  }
  const std::size_t slots = slots_in(memory.size(), page_size);
  if (slots == 0) {
    return fail(ErrorCode::invalid_argument,
                "a ring of " + std::to_string(memory.size()) + " bytes holds no page of " + std::to_string(page_size));
  }
  FixedLine fixed{};
  fixed.magic = ring_magic;
  fixed.version = layout_version;
  fixed.page_size = static_cast<std::uint32_t>(page_size);
  fixed.slot_count = static_cast<std::uint32_t>(slots);
  fixed.directory_size = static_cast<std::uint32_t>(std::bit_ceil(slots));
  fixed.pages_offset = static_cast<std::uint32_t>(pages_offset_for(slots));
  std::memcpy(memory.data(), &fixed, sizeof fixed);
  return Ring(memory.data(), fixed);
}

Result<Ring> Ring::attach(std::span<std::byte> memory) {
  FixedLine fixed{};
  if (memory.size() < sizeof(RingHeader)) {
    return fail(ErrorCode::corrupt, "a ring of " + std::to_string(memory.size()) + " bytes has no header");
  }
  std::memcpy(&fixed, memory.data(), sizeof fixed);
  if (fixed.magic != ring_magic || fixed.version != layout_version) {
    return fail(ErrorCode::unsupported, "not a ring of layout version " + std::to_string(layout_version) + " (found " +
                                            std::to_string(fixed.version) +
                                            "): use the same millrace release on both sides");
  }
  const bool fits = std::has_single_bit(fixed.page_size) && fixed.page_size >= limits::memory_page &&
                    fixed.page_size <= limits::page_size_max && fixed.slot_count > 0 &&
                    std::has_single_bit(fixed.directory_size) && fixed.directory_size >= fixed.slot_count &&
                    fixed.pages_offset % limits::memory_page == 0 &&
                    fixed.pages_offset >= directory_offset + std::uint64_t{fixed.directory_size} * sizeof(Word) &&
                    fixed.pages_offset + std::uint64_t{fixed.slot_count} * fixed.page_size <= memory.size();
  if (!fits) return fail(ErrorCode::corrupt, "the ring's header names sizes that do not fit its memory");
  return Ring(memory.data(), fixed);
}

Ring Ring::with_core_words(Word* directory, Word* granted, PageCoreLine* lines) const {
  Ring other = *this;
  other.directory_ = directory;
  other.granted_ = granted;
  other.core_lines_ = reinterpret_cast<std::byte*>(lines);
  other.core_line_stride_ = sizeof(PageCoreLine);
  return other;
}

std::vector<PageNumber> Ring::listed() const {
  std::vector<PageNumber> pages;
  for (std::uint64_t i = 0; i < directory_size(); ++i) {
    const PageNumber page = PageWord{entry(PageNumber(i)).load(std::memory_order_acquire)}.page();
    if (page > PageNumber() && (page.value() & directory_mask_) == i) pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  return pages;
}

Ring::Extent Ring::extent(PageNumber page, std::uint32_t slot) const {
  // The end is looked at first: the core stores it after the last commit of a dead publisher, so that whoever sees
  // the end also sees the commit it was made from.
  const PageWord end{core_line(slot).end.load(std::memory_order_acquire)};
  const PageWord commit{page_header(slot).publisher.commit.load(std::memory_order_acquire)};
  Extent extent;
  if (commit.page() == page) {
    extent.bytes = std::min(commit.number(), page_capacity());
    extent.finished = commit.flag();
  }
  if (end.page() == page && end.flag()) {
    extent.bytes = std::min(extent.bytes, end.number());
    extent.finished = true;
  }
  extent.bytes &= ~std::uint32_t{frame_alignment - 1};
  return extent;
}

}  // namespace millrace::ring
