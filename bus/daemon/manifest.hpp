// Where a core's rings lie in its segment, written when it starts: so that the next core finds, after a death, what was
// committed and not recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"
#include "bus/ring/pages.hpp"
#include "wal/writer.hpp"

namespace millrace::daemon {

struct ManifestRing {
  std::string topic;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

struct Manifest {
  std::string segment;  // path of the segment's file
  std::vector<ManifestRing> rings;
};

// Replaces `path` at once: a crash leaves the old one or the new one.
[[nodiscard]] Status write_manifest(const std::string& path, const Manifest& manifest);
// nullopt if there is none, or it is not whole.
[[nodiscard]] std::optional<Manifest> read_manifest(const std::string& path);

// A dead core's segment, held open: RouDi unlinks the file when it starts anew, the memory stays while it is mapped.
class DeadSegment {
 public:
  // nullopt if there is nothing to save: no manifest, or no such file any more (the host was started anew).
  [[nodiscard]] static std::optional<DeadSegment> open(const std::string& manifest_path);

  // Appends to the topic's log what its rings hold beyond it. Returns the number of events saved.
  [[nodiscard]] Result<std::uint64_t> salvage_topic(const std::string& topic, wal::Writer& log, bool may_lose,
                                                    WallTime now) const;

 private:
  DeadSegment(Manifest manifest, UniqueFd fd) : manifest_(std::move(manifest)), fd_(std::move(fd)) {}

  Manifest manifest_;
  UniqueFd fd_;
};

}  // namespace millrace::daemon
