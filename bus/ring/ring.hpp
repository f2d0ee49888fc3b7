// A ring somewhere in memory: its header, directory and pages, found and bounds-checked. Owns nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "bus/base/result.hpp"
#include "bus/ring/layout.hpp"

namespace millrace::ring {

class Ring {
 public:
  // Lays out an empty ring over zeroed memory; the core's part. `memory` is 4096-aligned.
  // Errors: invalid_argument if no page fits or the page size is not a power of two from 4 KiB to 4 MiB.
  [[nodiscard]] static Result<Ring> create(std::span<std::byte> memory, std::size_t page_size);
  // Finds the ring that lies in `memory`. Errors: unsupported (other layout version), corrupt (sizes do not fit).
  [[nodiscard]] static Result<Ring> attach(std::span<std::byte> memory);
  // Pages that fit a ring of `bytes`.
  [[nodiscard]] static std::size_t slots_in(std::size_t bytes, std::size_t page_size);

  [[nodiscard]] RingHeader& header() const { return *reinterpret_cast<RingHeader*>(base_); }
  [[nodiscard]] std::uint32_t slot_count() const { return slot_count_; }
  [[nodiscard]] std::uint32_t page_size() const { return page_size_; }
  // Bytes of frames that a page holds.
  [[nodiscard]] std::uint32_t page_capacity() const {
    return page_size_ - static_cast<std::uint32_t>(sizeof(PageHeader));
  }
  [[nodiscard]] std::uint32_t directory_size() const { return directory_mask_ + 1; }

  [[nodiscard]] Word& entry(PageNumber page) const { return directory_[page.value() & directory_mask_]; }
  // Highest page number granted.
  [[nodiscard]] PageNumber granted() const { return PageNumber(granted_->load(std::memory_order_acquire)); }
  // The core's words of a page.
  [[nodiscard]] PageCoreLine& core_line(std::uint32_t slot) const {
    return *reinterpret_cast<PageCoreLine*>(core_lines_ + std::size_t{slot} * core_line_stride_);
  }
  // The same ring by the core's words as they stand elsewhere, where no publisher can write: directory_size() entries,
  // slot_count() lines.
  [[nodiscard]] Ring with_core_words(Word* directory, Word* granted, PageCoreLine* lines) const;
  // The pages in the directory, oldest first.
  [[nodiscard]] std::vector<PageNumber> listed() const;
  // The slot that `word`, a directory entry, gives to `page`; nullopt if it is another page's or out of range.
  [[nodiscard]] std::optional<std::uint32_t> slot_of(PageNumber page, std::uint64_t word) const {
    const PageWord entry{word};
    if (entry.page() != page || entry.number() >= slot_count_) return std::nullopt;
    return entry.number();
  }
  [[nodiscard]] PageHeader& page_header(std::uint32_t slot) const {
    return *reinterpret_cast<PageHeader*>(pages_ + std::size_t{slot} * page_size_);
  }
  [[nodiscard]] std::byte* frames(std::uint32_t slot) const {
    return pages_ + std::size_t{slot} * page_size_ + sizeof(PageHeader);
  }

  // What a reader may read of a page: bytes of frames, and whether more can come.
  struct Extent {
    std::uint32_t bytes = 0;
    bool finished = false;  // sealed by its publisher, or closed by the core
  };
  // Acquires the frames. Believes neither word past the page's capacity, nor to end within 8 bytes.
  [[nodiscard]] Extent extent(PageNumber page, std::uint32_t slot) const;

 private:
  Ring(std::byte* base, const FixedLine& fixed);

  std::byte* base_;
  std::byte* pages_;
  Word* directory_;
  Word* granted_;
  std::byte* core_lines_;  // one every `core_line_stride_` bytes
  std::size_t core_line_stride_;
  std::uint32_t page_size_;
  std::uint32_t slot_count_;
  std::uint32_t directory_mask_;
};

}  // namespace millrace::ring
