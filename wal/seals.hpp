// Seals: tamper evidence over sealed segments. `<segment>.seal` holds the SHA-256 of the segment's bytes, and a chain
// value over it and the seal before: whoever knows one chain value (kept elsewhere: see `millrace wal verify`) knows
// all that was recorded up to there and is not deleted yet. The log's own checksums anybody can make anew; they find
// what rots, not who forges.
//
// format.hpp and FORMAT.md describe the file.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wal/care.hpp"
#include "wal/format.hpp"

namespace millrace::wal {

// SHA-256 of what it is given.
class Sha256 {
 public:
  Sha256();
  void add(Bytes bytes);
  [[nodiscard]] Digest digest();  // once, at the end

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

[[nodiscard]] std::string hex_of(const Digest& digest);
[[nodiscard]] std::optional<Digest> from_hex(const std::string& text);

// As its fields say; what `chain` is to be.
[[nodiscard]] Digest chain_of(const Seal& seal);
// nullopt: it is missing, damaged, or another segment's.
[[nodiscard]] std::optional<Seal> read_seal(FileSystem& files, const std::string& folder, SegmentName name);
// The segments that have a seal, by number; also the one that was deleted last, whose seal begins the chain.
[[nodiscard]] std::vector<SegmentName> sealed_segments(const std::vector<std::string>& names);

// Reads the segment and writes its seal, chained to the newest one before it. Errors: corrupt (that one is damaged).
[[nodiscard]] std::unique_ptr<CareWork> begin_seal(const CareOf& of);

struct SealReport {
  std::size_t sealed = 0;
  std::size_t not_yet = 0;         // segments behind the last seal, which have none yet: that is as it should be
  std::vector<Digest> chain;       // the seals' own values, oldest first; that of the last deleted segment included
  std::vector<std::string> wrong;  // a sentence each
};
// Reads all sealed segments, and makes every digest anew. What the log's writer deletes meanwhile is left out. `stop`
// is asked now and then. Errors: those of reading.
[[nodiscard]] Result<SealReport> verify_seals(
    FileSystem& files, const std::string& folder, const std::function<bool()>& stop = [] { return false; });

}  // namespace millrace::wal
