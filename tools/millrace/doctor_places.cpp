#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include "bus/base/fd.hpp"
#include "bus/daemon/manifest.hpp"
#include "bus/daemon/memory_plan.hpp"
#include "tools/millrace/doctor.hpp"

namespace millrace::cli {
namespace {

using Verdict = Finding::Verdict;
namespace fs = std::filesystem;

constexpr const char* shm = "/dev/shm";
// Where iceoryx 2 keeps the lock that a host's one RouDi holds.
constexpr const char* roudi_lock = "/tmp/iox-unique-roudi.lock";

std::string mb(std::uint64_t bytes) {
  return std::to_string(bytes / 1'000'000) + " MB";
}

std::uint64_t planned_bytes(const daemon::Config& config) {
  std::uint64_t sum = 0;
  for (const daemon::MemoryTerm& term : daemon::memory_plan(config)) sum += term.bytes;
  return sum;
}

Finding examine_shm(const daemon::Config& config, bool core_runs) {
  struct statvfs space {};
  if (::statvfs(shm, &space) != 0 || ::access(shm, W_OK) != 0) {
    return {Verdict::fail, "shared memory", "/dev/shm is not there or not writable: mount a tmpfs on it, mode 1777"};
  }
  const std::uint64_t size = space.f_blocks * space.f_frsize, free = space.f_bavail * space.f_frsize;
  const std::uint64_t plan = planned_bytes(config);
  const std::string figures = "/dev/shm has " + mb(size) + ", " + mb(free) + " free; the rings take " + mb(plan);
  if (core_runs) return {Verdict::ok, "shared memory", figures + ", by the core that runs"};
  if (size < plan) return {Verdict::fail, "shared memory", figures + ": remount it larger, or make the rings smaller"};
  if (free < plan) return {Verdict::fail, "shared memory", figures + ": remove what lies there, or remount it larger"};
  // Clients that reconnect to a new core keep the old rings mapped for a moment.
  if (free < 2 * plan) {
    return {Verdict::warn, "shared memory", figures + ", and twice that while clients change to a new core"};
  }
  return {Verdict::ok, "shared memory", figures};
}

// The folder, or the nearest one above it that exists, as it is to be made there.
Finding examine_folder(const std::string& what, const std::string& folder) {
  fs::path there = folder;
  std::error_code ignored;
  while (!fs::exists(there, ignored) && there.has_parent_path() && there != there.parent_path()) {
    there = there.parent_path();
  }
  if (!fs::is_directory(there, ignored)) {
    return {Verdict::fail, what, there.string() + " is no folder: name another one in the configuration"};
  }
  if (::access(there.c_str(), W_OK | X_OK) == 0) return {Verdict::ok, what, folder + " can be written"};
  return {Verdict::fail, what,
          "this user may not write " + there.string() +
              ": change its owner, run as another user, or name another "
              "folder in the configuration"};
}

Finding examine_disk(const daemon::Config& config) {
  fs::path there = config.log_dir;
  std::error_code error;
  while (!fs::exists(there, error) && there != there.parent_path()) there = there.parent_path();
  const auto space = fs::space(there, error);
  if (error) return {Verdict::warn, "disk", "the space of " + there.string() + " is not known: " + error.message()};
  std::uint64_t kept = 0;
  for (const daemon::TopicConfig& topic : config.topics) kept += topic.retention_bytes;
  const std::string figures = there.string() + " has " + mb(space.available) + " free; the logs keep up to " + mb(kept);
  if (space.available < kept) return {Verdict::warn, "disk", figures + ": free some, or lower `retention`"};
  return {Verdict::ok, "disk", figures};
}

Finding examine_socket(const std::string& socket, bool core_runs) {
  std::error_code ignored;
  if (core_runs) return {Verdict::ok, "core", "a core answers at " + socket};
  if (!fs::exists(socket, ignored)) return {Verdict::ok, "core", "none runs: nothing at " + socket};
  if (::access(socket.c_str(), R_OK | W_OK) != 0) {
    return {Verdict::warn, "core", "this user may not use " + socket + ": run as one who may"};
  }
  return {Verdict::warn, "core",
          socket + " is there but nobody answers: the core died or hangs; the next millraced replaces a stale socket"};
}

Finding examine_manifest(const daemon::Config& config, bool core_runs) {
  std::error_code ignored;
  if (core_runs || !fs::exists(config.manifest_path(), ignored)) {
    return {Verdict::ok, "last core", core_runs ? "runs" : "ended in good order, or there was none"};
  }
  return {Verdict::warn, "last core",
          "died: " + config.manifest_path() + " names its memory; start millraced, it saves what was not recorded"};
}

Finding examine_roudi(bool core_runs) {
  const UniqueFd lock(::open(roudi_lock, O_RDWR | O_CLOEXEC));
  if (!lock) {
    if (errno == ENOENT) return {Verdict::ok, "iceoryx", "no other one runs"};
    return {Verdict::warn, "iceoryx",
            std::string("this user may not open ") + roudi_lock +
                ": another user's iceoryx was here; a core of this user cannot start"};
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return {Verdict::ok, "iceoryx", "no other one runs"};
  if (core_runs) return {Verdict::ok, "iceoryx", "the core holds its lock"};
  return {Verdict::fail, "iceoryx",
          std::string("another iceoryx (RouDi or millraced) holds ") + roudi_lock + ": stop it, a host runs one"};
}

// iceoryx's management segment, and the one of the rings, which the manifest of a dead core names.
Finding examine_leftovers(const daemon::Config& config, bool core_runs) {
  std::vector<fs::path> left{fs::path(shm) / "iceoryx_mgmt"};
  if (const auto manifest = daemon::read_manifest(config.manifest_path())) left.emplace_back(manifest->segment);
  std::uint64_t bytes = 0;
  std::string names;
  for (const fs::path& path : left) {
    std::error_code missing;
    const std::uint64_t size = fs::file_size(path, missing);
    if (missing) continue;
    names += (names.empty() ? "" : ", ") + path.string();
    bytes += size;
  }
  if (core_runs || names.empty()) return {Verdict::ok, "stale files", "none in /dev/shm"};
  return {Verdict::warn, "stale files",
          names + ", " + mb(bytes) + ", of a core that died; the next millraced takes them over"};
}

}  // namespace

std::vector<Finding> examine_places(const daemon::Config& config, const std::string& socket, bool core_runs) {
  return {examine_socket(socket, core_runs),
          examine_manifest(config, core_runs),
          examine_roudi(core_runs),
          examine_leftovers(config, core_runs),
          examine_shm(config, core_runs),
          examine_folder("runtime folder", config.runtime_dir),
          examine_folder("log folder", config.log_dir),
          examine_disk(config)};
}

}  // namespace millrace::cli
