#include "bus/daemon/manifest.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "bus/recorder/topic_recorder.hpp"

namespace millrace::daemon {
namespace {

constexpr const char* first_line = "millrace-manifest 1";
constexpr const char* last_line = "end";

}  // namespace

Status write_manifest(const std::string& path, const Manifest& manifest) {
  const std::string draft = path + ".new";
  {
    std::ofstream out(draft, std::ios::trunc);
    out << first_line << '\n' << manifest.segment << '\n';
    for (const ManifestRing& ring : manifest.rings) {
      out << ring.topic << ' ' << ring.offset << ' ' << ring.bytes << '\n';
    }
    out << last_line << '\n';
    out.flush();
    if (!out) return fail_errno("cannot write " + draft, errno);
  }
  if (std::rename(draft.c_str(), path.c_str()) != 0) return fail_errno("cannot rename " + draft, errno);
  return {};
}

std::optional<Manifest> read_manifest(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  Manifest manifest;
  if (!std::getline(in, line) || line != first_line || !std::getline(in, manifest.segment)) return std::nullopt;
  while (std::getline(in, line)) {
    if (line == last_line) return manifest;
    std::istringstream fields(line);
    ManifestRing ring;
    if (!(fields >> ring.topic >> ring.offset >> ring.bytes)) return std::nullopt;
    manifest.rings.push_back(std::move(ring));
  }
  return std::nullopt;
}

std::optional<DeadSegment> DeadSegment::open(const std::string& manifest_path) {
  auto manifest = read_manifest(manifest_path);
  if (!manifest) return std::nullopt;
  UniqueFd fd(::open(manifest->segment.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return std::nullopt;
  for (const ManifestRing& ring : manifest->rings) {
    if (ring.offset + ring.bytes > static_cast<std::uint64_t>(status.st_size)) return std::nullopt;
  }
  return DeadSegment(std::move(*manifest), std::move(fd));
}

Result<std::uint64_t> DeadSegment::salvage_topic(const std::string& topic, wal::Writer& log, bool may_lose,
                                                 WallTime now) const {
  std::uint64_t saved = 0;
  for (const ManifestRing& place : manifest_.rings) {
    if (place.topic != topic) continue;
    const auto memory = Mapping::map(fd_.get(), place.offset, place.bytes, Access::read_only, "a dead core's ring");
    if (!memory) return fail(memory.error());
    const auto ring = ring::Ring::attach(memory->bytes());
    if (!ring) continue;  // it died before this ring was laid out
    const auto count = salvage(*ring, log, may_lose, now);
    if (!count) return fail(count.error());
    saved += *count;
  }
  return saved;
}

}  // namespace millrace::daemon
