#include "wal/format.hpp"

#include <cstddef>
#include <type_traits>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace millrace::wal {

// The bytes on disk, pinned. If one of these fails the layout has changed: put it back, or raise format_version, keep
// reading the old version or refuse it by name, and rewrite FORMAT.md.
static_assert(sizeof(SegmentHeader) == 104 && alignof(SegmentHeader) == 8 &&
              std::is_trivially_copyable_v<SegmentHeader>);
static_assert(offsetof(SegmentHeader, magic) == 0 && offsetof(SegmentHeader, version) == 4 &&
              offsetof(SegmentHeader, reserved) == 6 && offsetof(SegmentHeader, checksum) == 8 &&
              offsetof(SegmentHeader, log_id) == 16 && offsetof(SegmentHeader, run) == 32 &&
              offsetof(SegmentHeader, segment) == 40 && offsetof(SegmentHeader, first_offset) == 48 &&
              offsetof(SegmentHeader, created) == 56 && offsetof(SegmentHeader, previous_segment) == 64 &&
              offsetof(SegmentHeader, previous_first_offset) == 72 && offsetof(SegmentHeader, previous_end) == 80 &&
              offsetof(SegmentHeader, previous_checksum) == 88 && offsetof(SegmentHeader, header_bytes) == 96 &&
              offsetof(SegmentHeader, publisher_count) == 100);
static_assert(sizeof(PublisherRecord) == 96 && alignof(PublisherRecord) == 8 &&
              std::is_trivially_copyable_v<PublisherRecord>);
static_assert(offsetof(PublisherRecord, id) == 0 && offsetof(PublisherRecord, epoch) == 8 &&
              offsetof(PublisherRecord, incarnation) == 16 && offsetof(PublisherRecord, last_sequence) == 32 &&
              offsetof(PublisherRecord, name_size) == 40 && offsetof(PublisherRecord, name) == 48);
static_assert(sizeof(BatchHeader) == 128 && alignof(BatchHeader) == 8 && std::is_trivially_copyable_v<BatchHeader>);
static_assert(offsetof(BatchHeader, magic) == 0 && offsetof(BatchHeader, version) == 4 &&
              offsetof(BatchHeader, reserved) == 6 && offsetof(BatchHeader, checksum) == 8 &&
              offsetof(BatchHeader, log_id) == 16 && offsetof(BatchHeader, run) == 32 &&
              offsetof(BatchHeader, segment) == 40 && offsetof(BatchHeader, first_offset) == 48 &&
              offsetof(BatchHeader, publisher) == 56 && offsetof(BatchHeader, epoch) == 64 &&
              offsetof(BatchHeader, first_sequence) == 72 && offsetof(BatchHeader, record_time) == 80 &&
              offsetof(BatchHeader, previous) == 88 && offsetof(BatchHeader, synced_through) == 96 &&
              offsetof(BatchHeader, body_checksum) == 104 && offsetof(BatchHeader, count) == 112 &&
              offsetof(BatchHeader, bytes) == 116 && offsetof(BatchHeader, kind) == 120 &&
              offsetof(BatchHeader, reserved2) == 124);
static_assert(sizeof(GapRecord) == 24 && alignof(GapRecord) == 8 && std::is_trivially_copyable_v<GapRecord>);
static_assert(offsetof(GapRecord, from) == 0 && offsetof(GapRecord, to) == 8 && offsetof(GapRecord, reason) == 16 &&
              offsetof(GapRecord, reserved) == 20);
static_assert(sizeof(IndexHeader) == 56 && alignof(IndexHeader) == 8 && std::is_trivially_copyable_v<IndexHeader>);
static_assert(offsetof(IndexHeader, magic) == 0 && offsetof(IndexHeader, version) == 4 &&
              offsetof(IndexHeader, reserved) == 6 && offsetof(IndexHeader, checksum) == 8 &&
              offsetof(IndexHeader, log_id) == 16 && offsetof(IndexHeader, segment) == 32 &&
              offsetof(IndexHeader, end) == 40 && offsetof(IndexHeader, count) == 48);
static_assert(sizeof(IndexEntry) == 24 && alignof(IndexEntry) == 8 && std::is_trivially_copyable_v<IndexEntry>);
static_assert(offsetof(IndexEntry, first_offset) == 0 && offsetof(IndexEntry, record_time) == 8 &&
              offsetof(IndexEntry, byte) == 16);
static_assert(sizeof(ColdHeader) == 56 && alignof(ColdHeader) == 8 && std::is_trivially_copyable_v<ColdHeader>);
static_assert(offsetof(ColdHeader, magic) == 0 && offsetof(ColdHeader, version) == 4 &&
              offsetof(ColdHeader, reserved) == 6 && offsetof(ColdHeader, checksum) == 8 &&
              offsetof(ColdHeader, log_id) == 16 && offsetof(ColdHeader, segment) == 32 &&
              offsetof(ColdHeader, end) == 40 && offsetof(ColdHeader, first_block_bytes) == 48 &&
              offsetof(ColdHeader, block_bytes) == 52);
static_assert(sizeof(ColdTrailer) == 64 && alignof(ColdTrailer) == 8 && std::is_trivially_copyable_v<ColdTrailer>);
static_assert(offsetof(ColdTrailer, table_checksum) == 0 && offsetof(ColdTrailer, header) == 8);
static_assert(sizeof(Seal) == 160 && alignof(Seal) == 8 && std::is_trivially_copyable_v<Seal>);
static_assert(offsetof(Seal, magic) == 0 && offsetof(Seal, version) == 4 && offsetof(Seal, reserved) == 6 &&
              offsetof(Seal, checksum) == 8 && offsetof(Seal, previous_chain) == 16 && offsetof(Seal, log_id) == 48 &&
              offsetof(Seal, segment) == 64 && offsetof(Seal, first_offset) == 72 && offsetof(Seal, end) == 80 &&
              offsetof(Seal, previous_segment) == 88 && offsetof(Seal, content) == 96 && offsetof(Seal, chain) == 128);
static_assert(sizeof(ConsumersHeader) == 48 && alignof(ConsumersHeader) == 8 &&
              std::is_trivially_copyable_v<ConsumersHeader>);
static_assert(offsetof(ConsumersHeader, magic) == 0 && offsetof(ConsumersHeader, version) == 4 &&
              offsetof(ConsumersHeader, reserved) == 6 && offsetof(ConsumersHeader, checksum) == 8 &&
              offsetof(ConsumersHeader, log_id) == 16 && offsetof(ConsumersHeader, number) == 32 &&
              offsetof(ConsumersHeader, count) == 40);
static_assert(sizeof(ConsumerEntry) == 88 && alignof(ConsumerEntry) == 8 &&
              std::is_trivially_copyable_v<ConsumerEntry>);
static_assert(offsetof(ConsumerEntry, generation) == 0 && offsetof(ConsumerEntry, run) == 8 &&
              offsetof(ConsumerEntry, acked) == 16 && offsetof(ConsumerEntry, updated) == 24 &&
              offsetof(ConsumerEntry, name_size) == 32 && offsetof(ConsumerEntry, name) == 40);

std::uint64_t checksum_of(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace millrace::wal
