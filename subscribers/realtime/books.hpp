// What became of a subscription's events. Each offset from its start to its next_offset is in exactly one of the first
// five, so that the books balance: published = delivered + healed + filtered + conflated + skipped.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace millrace::gateway {

struct Books {
  std::uint64_t delivered = 0;  // sent: from memory, or from the log on the way from the start to the head
  std::uint64_t healed = 0;    // sent from the log, because memory had moved on under a subscription that had been live
  std::uint64_t filtered = 0;  // did not pass the filter
  std::uint64_t conflated = 0;  // left out: a newer event of the same key was sent in its place
  std::uint64_t skipped = 0;    // retention had deleted them
  // Beside the balance, since these never had an offset: sequences that the log jumps over.
  std::uint64_t not_recorded = 0;

  [[nodiscard]] std::uint64_t published() const { return delivered + healed + filtered + conflated + skipped; }
  Books& operator+=(const Books& more) {
    delivered += more.delivered;
    healed += more.healed;
    filtered += more.filtered;
    conflated += more.conflated;
    skipped += more.skipped;
    not_recorded += more.not_recorded;
    return *this;
  }
};

// The pages of the books by name, as they stand in answers and metrics.
struct BookEntry {
  std::string_view name;
  std::uint64_t Books::*count;
};
inline constexpr std::array<BookEntry, 6> book_entries = {{{"delivered", &Books::delivered},
                                                           {"healed", &Books::healed},
                                                           {"filtered", &Books::filtered},
                                                           {"conflated", &Books::conflated},
                                                           {"skipped", &Books::skipped},
                                                           {"not_recorded", &Books::not_recorded}}};

}  // namespace millrace::gateway
