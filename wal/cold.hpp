// A sealed segment, compressed: `<segment>.wal.zst` instead of `<segment>.wal`. The bytes [0, end) of the segment in
// blocks, each a zstd frame of its own, and a table of where they begin: a reader decompresses the block that it wants.
// format.hpp and FORMAT.md describe the file.
#pragma once

#include <memory>

#include "wal/care.hpp"
#include "wal/file_system.hpp"
#include "wal/segments.hpp"

namespace millrace::wal {

inline constexpr std::uint32_t cold_block_bytes = 256 * 1024;
inline constexpr int compression_level = 3;

// Read as the segment was: size() is its end, pread() decompresses, with the last few blocks kept. What cannot be
// decompressed reads as zeros, so that who checks the segment finds corruption there, and goes on behind it; without a
// header that can be read the file is empty. Errors: unsupported (another version), io_failed.
[[nodiscard]] Result<std::unique_ptr<File>> open_cold(std::unique_ptr<File> file, SegmentName name);

// The file of a segment, compressed or not, for reading; one that has both is read from the first. Errors: not_found.
[[nodiscard]] Result<std::unique_ptr<File>> open_segment_file(FileSystem& files, const std::string& folder,
                                                              SegmentName name);

// Writes `<segment>.wal.zst.new`, reads it back and compares, and only when it is durable under its name deletes the
// segment's first file. Readers that have that one open keep it.
[[nodiscard]] std::unique_ptr<CareWork> begin_compression(const CareOf& of, int level);
// The same in one call. Returns the bytes that the file takes.
[[nodiscard]] Result<std::uint64_t> compress_segment(const CareOf& of, int level = compression_level);

}  // namespace millrace::wal
