// All limits in one place, and how they hang together.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bus/base/frame.hpp"

namespace millrace::limits {

inline constexpr std::size_t cache_line = 64;
inline constexpr std::size_t memory_page = 4096;

// Rings.
inline constexpr std::size_t page_size = 64 * 1024;  // default bytes of a page in a ring, its header included
inline constexpr std::size_t page_size_max = 4 << 20;
inline constexpr std::size_t page_header_size = 2 * cache_line;
inline constexpr std::uint32_t grant_ahead = 16;     // pages granted in advance of the publisher
inline constexpr std::uint32_t unsynced_max = 32;    // pages the recorder may hold before the stall policy speaks
inline constexpr std::uint32_t publishers_max = 10;  // per topic
inline constexpr std::uint32_t readers = 64;         // default shared-memory subscriptions per topic
inline constexpr std::uint32_t readers_max = 1024;
inline constexpr std::uint32_t losses_kept = 32;           // of a topic, in shared memory
inline constexpr std::uint32_t order_entries = 16 * 1024;  // entries of an order ring, one a batch

// Names: [a-z0-9_.-], as they stand in paths, URLs and configuration.
inline constexpr std::size_t topic_name_size_max = 48;
inline constexpr std::size_t publisher_name_size_max = 48;
inline constexpr std::size_t consumer_name_size_max = 48;

[[nodiscard]] constexpr bool is_name(std::string_view text, std::size_t size_max) {
  return !text.empty() && text.size() <= size_max &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") == std::string_view::npos;
}

// iceoryx 2.0.3, which holds the rings: each is a chunk, all rings of one size are a pool.
inline constexpr std::size_t chunk_overhead = memory_page + cache_line;  // its header, and the way to the next page
inline constexpr std::uint64_t pool_bytes_max = (4ull << 30) - 1;        // chunks beyond silently alias others
inline constexpr std::size_t pools_max = 32;                             // hence different sizes of rings
inline constexpr std::size_t rings_max = 500;                            // it has 512 publishers, a few its own
inline constexpr std::uint64_t roudi_bytes = 65ull << 20;                // its management segment, as measured

// Bytes of shared memory that a ring takes.
[[nodiscard]] constexpr std::uint64_t chunk_bytes(std::uint64_t ring_bytes) {
  return (ring_bytes + memory_page - 1) / memory_page * memory_page + chunk_overhead;
}

// Log.
inline constexpr std::uint64_t segment_size = 64ull << 20;
inline constexpr std::chrono::nanoseconds linger{1'000'000};  // longest wait of an unsynced batch for company
inline constexpr std::uint64_t linger_bytes = 1 << 20;
inline constexpr std::size_t durable_consumers = 64;  // per topic

// The largest payload that fits a page of the default size.
inline constexpr std::size_t payload_size_max = page_size - page_header_size - frame_header_size;

static_assert(page_header_size % cache_line == 0, "the publisher's and the core's words must not share a line");
static_assert(publishers_max * sizeof(std::uint64_t) <= memory_page / 2, "a subscription's leases fit one memory page");

}  // namespace millrace::limits
