// The words of a ring in shared memory: one place for both sides. A ring is one iceoryx chunk:
//
//   0      RingHeader: a line that never changes, the core's line, the publisher's line
//   256    directory: `directory_size` entries of 8 bytes, page number n at n % directory_size
//   ...    pages, from the next multiple of 4096: `slot_count` slots of `page_size` bytes
//   page:  PublisherLine, CoreLine, then frames
//
// Every word has exactly one writer, named by its line. Sync points:
//   frames        publisher: commit.store(release)             -> readers: commit.load(acquire)
//   grants        core: entry.store(seq_cst)                   -> publisher, readers: entry.load
//   recycling     core: entry.store(0), then lease.load        <> reader: lease.store, then entry.load; all four
//   seq_cst,
//                 so that at least one of the two sees the other: either the core finds the lease and leaves the slot
//                 alone, or the reader finds its entry gone and does not touch the slot.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bus/base/ids.hpp"
#include "bus/base/limits.hpp"

namespace millrace::ring {

inline constexpr std::uint32_t ring_magic = 0x474e524d;  // "MRNG"
inline constexpr std::uint32_t layout_version = 1;

using Word = std::atomic<std::uint64_t>;
static_assert(sizeof(Word) == 8 && Word::is_always_lock_free);

// A word that says something of one page: bits 63..24 page number, 23 a flag, 22..0 a number. A word with another
// page's number says nothing, so nobody ever resets one.
struct PageWord {
  static constexpr unsigned number_bits = 23;
  static constexpr std::uint64_t number_mask = (1ull << number_bits) - 1;
  static constexpr std::uint64_t flag_mask = 1ull << number_bits;
  static constexpr unsigned page_shift = 24;

  std::uint64_t bits = 0;

  [[nodiscard]] static constexpr PageWord make(PageNumber page, std::size_t number, bool flag = false) {
    return {page.value() << page_shift | (flag ? flag_mask : 0) | number};
  }
  [[nodiscard]] constexpr PageNumber page() const { return PageNumber(bits >> page_shift); }
  [[nodiscard]] constexpr bool flag() const { return (bits & flag_mask) != 0; }
  [[nodiscard]] constexpr std::uint32_t number() const { return static_cast<std::uint32_t>(bits & number_mask); }
};
static_assert(limits::page_size_max <= PageWord::number_mask, "a page's bytes fit the word");

// Directory entry: PageWord with the slot as its number; 0 = no page.
// Commit word: PageWord with the committed bytes of frames, the flag meaning sealed: nothing more will come.
// End word: PageWord with the bytes at which the core closed a dead publisher's page, the flag always set.

struct alignas(limits::cache_line) FixedLine {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t page_size;
  std::uint32_t slot_count;
  std::uint32_t directory_size;
  std::uint32_t pages_offset;
};

struct alignas(limits::cache_line) RingCoreLine {
  Word granted;  // highest page number granted: tells withdrawn from not yet granted
};

struct alignas(limits::cache_line) RingPublisherLine {
  Word current_page;  // a hint for readers that join
  Word progress;      // bumped by publish and idle(): alive without progress is degraded
  Word wanted;        // highest sequence somebody awaits `synced` for: the recorder then syncs at once
};

struct RingHeader {
  FixedLine fixed;
  RingCoreLine core;
  RingPublisherLine publisher;
  std::byte reserved[limits::cache_line];
};

struct alignas(limits::cache_line) PagePublisherLine {
  Word commit;
};

struct alignas(limits::cache_line) PageCoreLine {
  Word end;
  Word page;       // its number
  Word publisher;  // PublisherId of who may write it
  Word epoch;
};

struct PageHeader {
  PagePublisherLine publisher;
  PageCoreLine core;
};

inline constexpr std::size_t directory_offset = sizeof(RingHeader);

}  // namespace millrace::ring
