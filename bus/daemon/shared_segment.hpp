// The iceoryx side of the core: RouDi embedded, every ring one chunk of its memory, announced as a service that stock
// iceoryx programs find and may read. The only files of the core that include iceoryx.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/base/result.hpp"

namespace millrace::daemon {

// The iceoryx service of a ring is {"millrace", topic, stream}.
struct RingRequest {
  std::string topic;
  std::string stream;
  std::size_t bytes = 0;
};

class SharedSegment {
 public:
  // Starts RouDi and makes the rings, page-aligned and zeroed. One at a time in a process.
  //
  // A dead core's segment has the same file name and is unlinked here: who wants what it holds takes it before. Its
  // other leftovers, sockets and lock files, are taken over or removed. Every descriptor of the process above 2 is
  // close-on-exec afterwards, since iceoryx's are not and would keep its lock in the programs that the core starts.
  // Stock iceoryx clients that die are not noticed: what they held is free again when the core ends.
  //
  // Errors: in_use (another RouDi runs on this host), not_permitted (another user's left files), no_space (/dev/shm),
  // too_large (iceoryx aliases chunks beyond 4 GiB of one size), exhausted (its ports and pools), not_found (the
  // process's group has no name), internal (what iceoryx says).
  [[nodiscard]] static Result<std::unique_ptr<SharedSegment>> start(const std::vector<RingRequest>& rings);
  // Whether start() may begin: its errors, but for internal. Purges nothing.
  [[nodiscard]] static Status check(const std::vector<RingRequest>& rings);
  ~SharedSegment();

  [[nodiscard]] std::byte* ring(std::size_t index) const;
  // Where the ring lies in the segment's file.
  [[nodiscard]] std::uint64_t ring_offset(std::size_t index) const;
  // Publishes the ring's chunk, once its header is laid out. The core goes on writing to it.
  void announce(std::size_t index);

  [[nodiscard]] int fd_read_write() const;
  [[nodiscard]] int fd_read_only() const;
  [[nodiscard]] const std::string& file_path() const;
  [[nodiscard]] std::uint64_t bytes() const;  // of the file

 private:
  struct Impl;
  explicit SharedSegment(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::daemon
