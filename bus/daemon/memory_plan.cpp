#include "bus/daemon/memory_plan.hpp"

#include <sys/statvfs.h>

#include <cstdio>
#include <map>

#include "bus/base/limits.hpp"
#include "bus/ring/order_ring.hpp"
#include "bus/ring/ring.hpp"

namespace millrace::daemon {
namespace {

constexpr std::uint64_t stated_rate = 1'000'000;  // events a second
constexpr std::uint64_t stated_frame = 224;       // bytes: a trade with its header

std::string megabytes(std::uint64_t bytes, int width = 0) {
  char text[32];
  std::snprintf(text, sizeof text, "%*.1f MB", width, static_cast<double>(bytes) / 1e6);
  return text;
}

std::uint64_t sum_in_dev_shm(const Config& config) {
  std::uint64_t sum = 0;
  for (const MemoryTerm& term : memory_plan(config)) sum += term.in_dev_shm ? term.bytes : 0;
  return sum;
}

}  // namespace

std::vector<MemoryTerm> memory_plan(const Config& config) {
  std::vector<MemoryTerm> terms{{"RouDi's management", limits::roudi_bytes, true}};
  for (const TopicConfig& topic : config.topics) {
    terms.push_back({"rings of " + topic.name, topic.ring_bytes * topic.publishers, true});
  }
  terms.push_back({"order rings", config.topics.size() * ring::order_ring_bytes(limits::order_entries)});
  terms.push_back({"watermarks", config.topics.size() * limits::memory_page});
  std::uint64_t readers = 0;
  for (const TopicConfig& topic : config.topics) readers += topic.readers;
  terms.push_back({"subscribers' pages, all taken", readers * limits::memory_page});
  return terms;
}

std::uint64_t dev_shm_bytes() {
  struct statvfs space {};
  return ::statvfs("/dev/shm", &space) == 0 ? space.f_blocks * space.f_frsize : 0;
}

Status check_memory(const Config& config, std::uint64_t dev_shm_bytes) {
  struct Pool {
    std::uint64_t bytes = 0;
    std::string topics;
  };
  std::map<std::uint64_t, Pool> pools;
  for (const TopicConfig& topic : config.topics) {
    const std::uint64_t chunk = limits::chunk_bytes(topic.ring_bytes);
    Pool& pool = pools[chunk];
    pool.bytes += chunk * topic.publishers;
    pool.topics += (pool.topics.empty() ? "" : ", ") + topic.name;
    if (pool.bytes > limits::pool_bytes_max) {
      return fail(ErrorCode::too_large,
                  "the rings of " + pool.topics + " have one size and take " + megabytes(pool.bytes) +
                      " together; iceoryx is sound up to 4 GiB of one size: make them smaller, or "
                      "of different sizes");
    }
  }
  const std::uint64_t sum = sum_in_dev_shm(config);
  if (sum <= dev_shm_bytes) return {};
  return fail(ErrorCode::no_space, "the rings and RouDi take " + megabytes(sum) + " of /dev/shm, which has " +
                                       megabytes(dev_shm_bytes) + ": make it larger, or the rings smaller");
}

std::string print_check(const Config& config) {
  std::string out = "configuration is sound\n\nshared memory\n";
  std::uint64_t sum = 0;
  for (const MemoryTerm& term : memory_plan(config)) {
    sum += term.bytes;
    out += "  " + megabytes(term.bytes, 10) + "  " + term.holder + "\n";
  }
  out += "  " + megabytes(sum, 10) + "  in all; while clients reconnect to a new core, the old rings stay mapped too\n";
  out += "  " + megabytes(sum_in_dev_shm(config), 10) + "  of it in /dev/shm, which has " + megabytes(dev_shm_bytes()) +
         "\n";
  out += "\na stall of the disk is bridged, at " + std::to_string(stated_rate) + " events/s of " +
         std::to_string(stated_frame) + " bytes a publisher, for\n";
  for (const TopicConfig& topic : config.topics) {
    const std::size_t pages = ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes);
    const std::uint64_t room = (pages - granted_ahead(topic)) * topic.page_bytes;
    const char* then = topic.stall_policy == ring::StallPolicy::block    ? "then publishers are back pressured"
                       : topic.stall_policy == ring::StallPolicy::refuse ? "then events are refused"
                                                                         : "then the log misses events, live goes on";
    char line[160];
    std::snprintf(line, sizeof line, "  %8.1f ms  %s, %s\n",
                  static_cast<double>(room) * 1e3 / static_cast<double>(stated_rate * stated_frame), topic.name.c_str(),
                  then);
    out += line;
  }
  return out;
}

}  // namespace millrace::daemon
