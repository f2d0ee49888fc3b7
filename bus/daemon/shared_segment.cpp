#include "bus/daemon/shared_segment.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iceoryx_hoofs/error_handling/error_handling.hpp>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/iceoryx_posh_types.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/mepoo/chunk_header.hpp>
#include <iceoryx_posh/mepoo/mepoo_config.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime_single_process.hpp>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>

#include "bus/base/assert.hpp"
#include "bus/base/limits.hpp"
#include "bus/base/log.hpp"

namespace millrace::daemon {
namespace {

constexpr char runtime_name[] = "millraced";

static_assert(sizeof(iox::mepoo::ChunkHeader) <= limits::cache_line, "limits::chunk_overhead counts on it");
static_assert(limits::pools_max <= iox::MAX_NUMBER_OF_MEMPOOLS && limits::rings_max < iox::MAX_PUBLISHERS);

struct Place {
  std::string file;
  std::uint64_t offset = 0;
};

// RouDi talks to standard output and clog while it starts, whatever its log level.
class Hush {
 public:
  Hush() {
    std::cout.setstate(std::ios::failbit);
    std::clog.setstate(std::ios::failbit);
  }
  ~Hush() {
    std::cout.clear();
    std::clog.clear();
  }
  Hush(const Hush&) = delete;
  Hush& operator=(const Hush&) = delete;
};

// Which file is mapped at `at`, and where in it `at` lies.
std::optional<Place> place_of(const void* at) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(at);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string range, rights, offset, device, inode, path;
    fields >> range >> rights >> offset >> device >> inode >> path;
    const std::uintptr_t begin = std::stoull(range, nullptr, 16);
    const std::uintptr_t end = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
    if (wanted >= begin && wanted < end && !path.empty()) {
      return Place{path, std::stoull(offset, nullptr, 16) + (wanted - begin)};
    }
  }
  return std::nullopt;
}

// iceoryx goes on after lesser errors by itself, and cannot be stopped short of ending the process at a fatal one.
// start() asks first for everything that it might fail at, so a fatal one is a race with another iceoryx system, or a
// bug.
void on_iceoryx_error(iox::Error error, const std::function<void()>&, iox::ErrorLevel level) {
  if (level != iox::ErrorLevel::FATAL) return log().error("iceoryx reports {}", iox::ErrorHandler::toString(error));
  log().critical("iceoryx cannot go on: {}", iox::ErrorHandler::toString(error));
  close_log();
  std::abort();
}

// Whether a living process holds the lock. The file of a dead one stays; another user's is removed, since not even root
// may open it the way iceoryx does.
Status check_lock(const std::string& name) {
  const std::string path = iox::platform::IOX_LOCK_FILE_PATH_PREFIX + name + ".lock";
  const UniqueFd lock(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!lock && errno == ENOENT) return {};
  if (!lock) return fail_errno("iceoryx's lock file, of another user's RouDi or left by it: " + path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::in_use, "another iceoryx system (RouDi or millraced) already runs on this host: it holds " +
                                       path + "; stop it first");
  }
  struct stat status {};
  if (::fstat(lock.get(), &status) == 0 && status.st_uid != ::geteuid()) ::unlink(path.c_str());
  return {};
}

// iceoryx replaces what a dead RouDi left, if it may.
Status check_replaceable(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || status.st_uid == ::geteuid() || ::geteuid() == 0) return {};
  return fail(ErrorCode::not_permitted, path + " was left by an iceoryx system of the user with id " +
                                            std::to_string(status.st_uid) + ": remove it as that user or root");
}

Status check_space(std::uint64_t bytes) {
  struct statvfs space {};
  if (::statvfs("/dev/shm", &space) != 0) return fail_errno("cannot look at /dev/shm", errno);
  const std::uint64_t free = space.f_bavail * space.f_frsize;
  if (free >= bytes) return {};
  return fail(ErrorCode::no_space, "the rings take " + std::to_string(bytes >> 20) + " MiB, /dev/shm has " +
                                       std::to_string(free >> 20) + " MiB free: make it larger, or the rings smaller");
}

// A pool for each size of ring, with a chunk for each ring and none to spare: a spare one would be resident, and nobody
// takes chunks but start(), on one thread. Ascending, as iceoryx wants them.
using Pools = std::map<std::uint64_t, std::uint64_t>;  // chunk bytes, count

Result<Pools> pools_for(const std::vector<RingRequest>& rings) {
  Pools pools;
  for (const RingRequest& ring : rings) ++pools[limits::chunk_bytes(ring.bytes)];
  for (const auto& [bytes, count] : pools) {
    if (bytes > limits::pool_bytes_max / count) {
      return fail(ErrorCode::too_large, std::to_string(count) + " rings of " + std::to_string(bytes >> 20) +
                                            " MiB are more than the 4 GiB up to which iceoryx is sound for one size");
    }
  }
  if (pools.size() > limits::pools_max || rings.size() > limits::rings_max) {
    return fail(ErrorCode::exhausted, std::to_string(rings.size()) + " rings of " + std::to_string(pools.size()) +
                                          " sizes; iceoryx has room for " + std::to_string(limits::rings_max) + " of " +
                                          std::to_string(limits::pools_max) + " sizes");
  }
  return pools;
}

// Everything at which iceoryx would end the process.
Status check_way_is_clear(const std::string& group, const Pools& pools) {
  if (group.empty()) {
    return fail(ErrorCode::not_found, "the process's group (id " + std::to_string(::getegid()) +
                                          ") has no name, and iceoryx names its memory by it: add it to /etc/group");
  }
  MILLRACE_TRY(check_lock(iox::roudi::ROUDI_LOCK_NAME));
  for (const std::string& channel : {std::string(iox::roudi::IPC_CHANNEL_ROUDI_NAME), std::string(runtime_name)}) {
    MILLRACE_TRY(check_lock(channel));
    MILLRACE_TRY(check_replaceable(iox::platform::IOX_UDS_SOCKET_PATH_PREFIX + channel));
  }
  std::uint64_t freed = 0;  // by the segments of a dead core, which are unlinked before the new ones are made
  for (const std::string& segment : {std::string(iox::roudi::SHM_NAME), group}) {
    MILLRACE_TRY(check_replaceable("/dev/shm/" + segment));
    struct stat status {};
    if (::stat(("/dev/shm/" + segment).c_str(), &status) == 0) freed += 512ull * status.st_blocks;
  }
  std::uint64_t bytes = limits::roudi_bytes;
  for (const auto& [chunk, count] : pools) bytes += chunk * count;
  return check_space(bytes > freed ? bytes - freed : 0);
}

}  // namespace

struct SharedSegment::Impl {
  explicit Impl(const iox::RouDiConfig_t& config)
      : components(config),
        roudi(components.rouDiMemoryManager, components.portManager,
              iox::roudi::RouDi::RoudiStartupParameters(iox::roudi::MonitoringMode::OFF, false)),
        runtime(runtime_name) {}

  iox::cxx::GenericRAII errors{iox::ErrorHandler::setTemporaryErrorHandler(on_iceoryx_error)};
  iox::roudi::IceOryxRouDiComponents components;
  iox::roudi::RouDi roudi;
  iox::runtime::PoshRuntimeSingleProcess runtime;
  struct Ring {
    std::unique_ptr<iox::popo::UntypedPublisher> publisher;
    std::byte* memory;
    std::uint64_t offset;
  };
  [[nodiscard]] Status add(const RingRequest& request);
  [[nodiscard]] Status open_file();

  std::vector<Ring> rings;
  std::string file;
  std::uint64_t bytes = 0;
  UniqueFd read_write;
  UniqueFd read_only;
};

SharedSegment::SharedSegment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SharedSegment::~SharedSegment() = default;

Status SharedSegment::check(const std::vector<RingRequest>& rings) {
  MILLRACE_ASSERT(!rings.empty(), "a core has rings");
  const auto pools = pools_for(rings);
  if (!pools) return fail(pools.error());
  return check_way_is_clear(iox::posix::PosixGroup::getGroupOfCurrentProcess().getName().c_str(), *pools);
}

Result<std::unique_ptr<SharedSegment>> SharedSegment::start(const std::vector<RingRequest>& rings) {
  MILLRACE_TRY(check(rings));
  const auto pools = pools_for(rings);
  const auto group = iox::posix::PosixGroup::getGroupOfCurrentProcess().getName();
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
  iox::mepoo::MePooConfig layout;
  for (const auto& [bytes, count] : *pools) {
    layout.addMemPool({static_cast<std::uint32_t>(bytes), static_cast<std::uint32_t>(count)});
  }
  iox::RouDiConfig_t config;
  config.m_sharedMemorySegments.emplace_back(group, group, layout);
  std::optional<Hush> hush(std::in_place);
  auto impl = std::make_unique<Impl>(config);
  hush.reset();
  for (const RingRequest& ring : rings) MILLRACE_TRY(impl->add(ring));
  MILLRACE_TRY(impl->open_file());
  // iceoryx leaves its descriptors open across exec: a program started by the core would keep the dead core's lock.
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return fail_errno("cannot mark descriptors", errno);
  return std::unique_ptr<SharedSegment>(new SharedSegment(std::move(impl)));
}

Status SharedSegment::Impl::add(const RingRequest& request) {
  iox::popo::PublisherOptions options;
  options.historyCapacity = 1;  // who subscribes later gets the ring too
  Ring made;
  made.publisher = std::make_unique<iox::popo::UntypedPublisher>(
      iox::capro::ServiceDescription{"millrace", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, request.topic),
                                     iox::capro::IdString_t(iox::cxx::TruncateToCapacity, request.stream)},
      options);
  auto loaned = made.publisher->loan(
      static_cast<std::uint32_t>(limits::chunk_bytes(request.bytes) - limits::chunk_overhead), limits::memory_page);
  if (loaned.has_error()) {
    return fail(ErrorCode::internal, "iceoryx gave no chunk of " + std::to_string(request.bytes) +
                                         " bytes for topic '" + request.topic + "'");
  }
  made.memory = static_cast<std::byte*>(loaned.value());
  std::memset(made.memory, 0, request.bytes);
  const auto place = place_of(made.memory);
  if (!place) return fail(ErrorCode::internal, "the segment of iceoryx's chunks is mapped from no file");
  MILLRACE_ASSERT(file.empty() || file == place->file, "all rings lie in one segment");
  file = place->file;
  made.offset = place->offset;
  rings.push_back(std::move(made));
  return {};
}

// Opens the segment again, and proves that what is written to a ring is read there.
Status SharedSegment::Impl::open_file() {
  read_write = UniqueFd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  read_only = UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!read_write || !read_only || ::fstat(read_only.get(), &status) != 0) {
    return fail_errno("cannot open " + file, errno);
  }
  bytes = static_cast<std::uint64_t>(status.st_size);
  for (const Ring& ring : rings) {
    constexpr std::uint64_t mark = 0x6d696c6c72616365;
    std::uint64_t read = 0;
    std::memcpy(ring.memory, &mark, sizeof mark);
    const ssize_t count = ::pread(read_only.get(), &read, sizeof read, static_cast<off_t>(ring.offset));
    std::memset(ring.memory, 0, sizeof mark);
    if (count != sizeof read || read != mark) {
      return fail(ErrorCode::internal, file + " is not the memory that iceoryx uses: another one took its name");
    }
  }
  return {};
}

std::byte* SharedSegment::ring(std::size_t index) const {
  return impl_->rings[index].memory;
}
std::uint64_t SharedSegment::ring_offset(std::size_t index) const {
  return impl_->rings[index].offset;
}
void SharedSegment::announce(std::size_t index) {
  Impl::Ring& ring = impl_->rings[index];
  ring.publisher->publish(ring.memory);
}
int SharedSegment::fd_read_write() const {
  return impl_->read_write.get();
}
int SharedSegment::fd_read_only() const {
  return impl_->read_only.get();
}
const std::string& SharedSegment::file_path() const {
  return impl_->file;
}
std::uint64_t SharedSegment::bytes() const {
  return impl_->bytes;
}

}  // namespace millrace::daemon
