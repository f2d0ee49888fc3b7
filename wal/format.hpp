// Every byte that the log writes, described once: FORMAT.md says the same in prose, with a worked example.
//
// Writer and readers share this header and nothing else. Little-endian; each struct lies at a multiple of 8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bus/base/ids.hpp"
#include "bus/base/limits.hpp"

namespace millrace::wal {

// Numbers the segments of a log from 1 upward, never reused: two segments may have the same first offset (a start that
// recorded nothing), never the same number.
using SegmentNumber = Ordinal<struct SegmentNumberTag>;

inline constexpr std::uint32_t segment_magic = 0x53574c4d;    // "MLWS"
inline constexpr std::uint32_t batch_magic = 0x42574c4d;      // "MLWB"
inline constexpr std::uint32_t index_magic = 0x49574c4d;      // "MLWI"
inline constexpr std::uint32_t keys_magic = 0x4b574c4d;       // "MLWK"
inline constexpr std::uint32_t consumers_magic = 0x43574c4d;  // "MLWC"
inline constexpr std::uint32_t cold_magic = 0x5a574c4d;       // "MLWZ"
inline constexpr std::uint32_t seal_magic = 0x45574c4d;       // "MLWE"
inline constexpr std::uint16_t format_version = 1;

// Batches begin at a multiple of this in the file, so that no later write touches the header's block.
inline constexpr std::uint64_t header_alignment = 4096;

struct SegmentHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of everything that follows, the table of publishers and the padding included
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t run;
  std::uint64_t segment;       // this segment's number
  std::uint64_t first_offset;  // of the first event in it
  std::int64_t created;        // record time: not before any batch of the previous segment, not after any of this one
  std::uint64_t previous_segment;       // number of the segment that this one continues; 0: the log begins here
  std::uint64_t previous_first_offset;  // its first offset
  std::uint64_t previous_end;           // the byte at which it ends; all before were synced, those beyond do not count
  std::uint64_t previous_checksum;      // checksum of its last batch, or of its header if it has none
  std::uint32_t header_bytes;           // where the first batch begins
  std::uint32_t publisher_count;        // PublisherRecords that follow this header
};

struct PublisherRecord {
  std::uint64_t id;
  std::uint64_t epoch;
  std::array<std::uint8_t, 16> incarnation;
  std::uint64_t last_sequence;
  std::uint64_t name_size;
  std::array<char, limits::publisher_name_size_max> name;  // the rest is zeros
};

enum class BatchKind : std::uint32_t {
  events = 1,     // frames, byte for byte as in bus/base/frame.hpp
  publisher = 2,  // one PublisherRecord: this incarnation was granted this epoch
  gap = 3,        // one GapRecord: events that were never recorded
};

struct BatchHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of the rest of this header, which holds the checksum of the body
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t run;
  std::uint64_t segment;       // number of the segment: stale bytes of a recycled file never match
  std::uint64_t first_offset;  // of the first event; of the next event if there is none in this batch
  std::uint64_t publisher;
  std::uint64_t epoch;
  std::uint64_t first_sequence;
  std::int64_t record_time;      // wall-clock nanoseconds, never going back
  std::uint64_t previous;        // checksum of the batch before, or of the segment's header
  std::uint64_t synced_through;  // bytes of this segment known to be synced when this batch was written
  std::uint64_t body_checksum;   // of the bytes that follow this header
  std::uint32_t count;           // events in it; 0 unless kind is `events`
  std::uint32_t bytes;           // of the body, a multiple of 8
  std::uint32_t kind;            // BatchKind
  std::uint32_t reserved2;
};

struct GapRecord {
  std::uint64_t from;  // sequences from..to, both included, of the header's publisher
  std::uint64_t to;
  std::uint32_t reason;
  std::uint32_t reserved;
};

// `<segment>.idx`, written when a segment is sealed; only a short cut, rebuilt where missing or bad.
struct IndexHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of the rest, the entries included
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t segment;
  std::uint64_t end;    // byte at which the segment ends
  std::uint64_t count;  // IndexEntries that follow
};

struct IndexEntry {
  std::uint64_t first_offset;  // of the batch at `byte`
  std::int64_t record_time;
  std::uint64_t byte;
};

// `<segment>.keys`: the last event of each key in a sealed segment; only a short cut, rebuilt where missing or bad. The
// keys' texts follow the entries, one behind the other in the entries' order.
struct KeysHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of the rest, entries and texts included
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t segment;
  std::uint64_t end;         // byte at which the segment ends
  std::uint64_t definition;  // fingerprint of what makes an event's key: another one's file is void
  std::uint64_t count;       // KeysEntries that follow, ascending by text, each text once
  std::uint64_t text_bytes;  // that follow the entries
};

struct KeysEntry {
  std::uint64_t offset;    // of the key's last event in the segment
  std::uint64_t byte;      // of the batch that it stands in
  std::uint64_t text_end;  // where the key's text ends, from the begin of the texts
};

// `<segment>.wal.zst`: the segment's bytes [0, end), compressed. Block 0 is the segment's header, the others are
// `block_bytes` each, the last one what is left; each is one zstd frame with its content size and checksum. The frames
// stand behind the header in order, behind them a std::uint64_t for each block, the byte of the file at which its frame
// begins, and at the very end a ColdTrailer.
struct ColdHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of the rest of this header
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t segment;            // number
  std::uint64_t end;                // byte at which the segment ends
  std::uint32_t first_block_bytes;  // of block 0
  std::uint32_t block_bytes;        // of the others
};

struct ColdTrailer {
  std::uint64_t table_checksum;  // of the table of blocks
  ColdHeader header;             // the file's header once more
};

using Digest = std::array<std::uint8_t, 32>;  // SHA-256

// `<segment>.seal`, of a sealed segment. The chain value is the SHA-256 of all that stands between the checksum and it.
struct Seal {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of the rest
  Digest previous_chain;   // chain value of the seal before; zeros: there is none
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t segment;  // number
  std::uint64_t first_offset;
  std::uint64_t end;               // byte at which the segment ends
  std::uint64_t previous_segment;  // number of the seal before; 0: there is none
  Digest content;                  // of the segment's bytes [0, end), as they are when not compressed
  Digest chain;
};

// `consumers`: two copies of the table of durable consumers, `consumers_copy_bytes` each, zeros behind the entries.
struct ConsumersHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint64_t checksum;  // of the rest of the copy, zeros included
  std::array<std::uint8_t, 16> log_id;
  std::uint64_t number;  // up by one at each write: the higher of two good copies counts
  std::uint64_t count;   // ConsumerEntries that follow
};

struct ConsumerEntry {
  std::uint64_t generation;
  std::uint64_t run;
  std::uint64_t acked;
  std::int64_t updated;
  std::uint64_t name_size;
  std::array<char, limits::consumer_name_size_max> name;  // the rest is zeros
};

inline constexpr std::size_t consumers_copy_bytes = 8192;
static_assert(sizeof(ConsumersHeader) + limits::durable_consumers * sizeof(ConsumerEntry) <= consumers_copy_bytes);
static_assert(consumers_copy_bytes % header_alignment == 0, "no write of one copy touches a block of the other");

// XXH3, 64 bits.
[[nodiscard]] std::uint64_t checksum_of(std::span<const std::byte> bytes);

// Where the checksummed part of each header begins.
inline constexpr std::size_t checksummed_from = 16;

}  // namespace millrace::wal
