#include "bus/daemon/shared_segment.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/iceoryx_posh_types.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/mepoo/mepoo_config.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime_single_process.hpp>
#include <map>
#include <optional>
#include <sstream>

#include "bus/base/assert.hpp"
#include "bus/base/limits.hpp"

namespace millrace::daemon {
namespace {

// What iceoryx puts before a payload that is aligned to a memory page: its chunk header, and the way to the next page.
constexpr std::size_t chunk_overhead = 2 * limits::memory_page;
constexpr std::uint64_t pool_bytes_max = 4ull << 30;  // chunks beyond alias others, silently
constexpr std::uint64_t roudi_bytes = 80ull << 20;    // its management segment, rounded up

struct Place {
  std::string file;
  std::uint64_t offset = 0;
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

// iceoryx ends the process where it finds another RouDi, so that is asked before.
Status check_no_other_roudi() {
  const std::string path =
      std::string(iox::platform::IOX_LOCK_FILE_PATH_PREFIX) + iox::roudi::ROUDI_LOCK_NAME + ".lock";
  const UniqueFd lock(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!lock) return {};
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return fail(ErrorCode::in_use, "another iceoryx system (RouDi or millraced) already runs on this host: it holds " +
                                       path + "; stop it first");
  }
  return {};
}

Status check_space(std::uint64_t bytes) {
  struct statvfs space {};
  if (::statvfs("/dev/shm", &space) != 0) return fail_errno("cannot look at /dev/shm", errno);
  const std::uint64_t free = space.f_bavail * space.f_frsize;
  if (free >= bytes) return {};
  return fail(ErrorCode::no_space, "the rings take " + std::to_string(bytes >> 20) + " MiB, /dev/shm has " +
                                       std::to_string(free >> 20) + " MiB free: make it larger, or the rings smaller");
}

iox::mepoo::MePooConfig pools_for(const std::vector<RingRequest>& rings) {
  std::map<std::size_t, std::uint32_t> counts;  // ascending, as iceoryx wants its pools
  for (const RingRequest& ring : rings) ++counts[ring.bytes];
  iox::mepoo::MePooConfig pools;
  for (const auto& [bytes, count] : counts) {
    pools.addMemPool({static_cast<std::uint32_t>(bytes + chunk_overhead), count});
  }
  return pools;
}

}  // namespace

struct SharedSegment::Impl {
  explicit Impl(const iox::RouDiConfig_t& config)
      : components(config),
        roudi(components.rouDiMemoryManager, components.portManager,
              iox::roudi::RouDi::RoudiStartupParameters(iox::roudi::MonitoringMode::OFF, false)),
        runtime("millraced") {}

  iox::roudi::IceOryxRouDiComponents components;
  iox::roudi::RouDi roudi;
  iox::runtime::PoshRuntimeSingleProcess runtime;
  struct Ring {
    std::unique_ptr<iox::popo::UntypedPublisher> publisher;
    std::byte* memory;
    std::uint64_t offset;
  };
  std::vector<Ring> rings;
  std::string file;
  std::uint64_t bytes = 0;
  UniqueFd read_write;
  UniqueFd read_only;
};

SharedSegment::SharedSegment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SharedSegment::~SharedSegment() = default;

Result<std::unique_ptr<SharedSegment>> SharedSegment::start(const std::vector<RingRequest>& rings) {
  MILLRACE_TRY(check_no_other_roudi());
  std::uint64_t total = 0;
  std::map<std::size_t, std::uint64_t> pools;
  for (const RingRequest& ring : rings) {
    total += ring.bytes + chunk_overhead;
    pools[ring.bytes] += ring.bytes + chunk_overhead;
  }
  for (const auto& [bytes, pool] : pools) {
    if (pool >= pool_bytes_max) {
      return fail(ErrorCode::too_large, "the rings of " + std::to_string(bytes) + " bytes together take " +
                                            std::to_string(pool >> 20) +
                                            " MiB; iceoryx is sound up to 4 GiB of one size");
    }
  }
  MILLRACE_TRY(check_space(total + roudi_bytes));

  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError);
  const auto group = iox::posix::PosixGroup::getGroupOfCurrentProcess().getName();
  iox::RouDiConfig_t config;
  config.m_sharedMemorySegments.emplace_back(group, group, pools_for(rings));
  auto impl = std::make_unique<Impl>(config);

  for (const RingRequest& ring : rings) {
    iox::popo::PublisherOptions options;
    options.historyCapacity = 1;  // who subscribes later gets the ring too
    Impl::Ring made;
    made.publisher = std::make_unique<iox::popo::UntypedPublisher>(
        iox::capro::ServiceDescription{"millrace", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, ring.topic),
                                       iox::capro::IdString_t(iox::cxx::TruncateToCapacity, ring.stream)},
        options);
    auto loaned = made.publisher->loan(static_cast<std::uint32_t>(ring.bytes), limits::memory_page);
    if (loaned.has_error()) {
      return fail(ErrorCode::internal,
                  "iceoryx gave no chunk of " + std::to_string(ring.bytes) + " bytes for topic '" + ring.topic + "'");
    }
    made.memory = static_cast<std::byte*>(loaned.value());
    std::memset(made.memory, 0, ring.bytes);
    const auto place = place_of(made.memory);
    if (!place) return fail(ErrorCode::internal, "the segment of iceoryx's chunks is mapped from no file");
    MILLRACE_ASSERT(impl->file.empty() || impl->file == place->file, "all rings lie in one segment");
    impl->file = place->file;
    made.offset = place->offset;
    impl->rings.push_back(std::move(made));
  }
  impl->read_write = UniqueFd(::open(impl->file.c_str(), O_RDWR | O_CLOEXEC));
  impl->read_only = UniqueFd(::open(impl->file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!impl->read_write || !impl->read_only) return fail_errno("cannot open " + impl->file, errno);
  struct stat status {};
  if (::fstat(impl->read_only.get(), &status) != 0) return fail_errno("cannot look at " + impl->file, errno);
  impl->bytes = static_cast<std::uint64_t>(status.st_size);
  return std::unique_ptr<SharedSegment>(new SharedSegment(std::move(impl)));
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
