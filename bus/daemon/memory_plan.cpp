#include "bus/daemon/memory_plan.hpp"

#include <cstdio>

#include "bus/ring/order_ring.hpp"
#include "bus/ring/ring.hpp"

namespace millrace::daemon {
namespace {

constexpr std::uint64_t roudi_bytes = 65ull << 20;  // iceoryx 2.0.3's management segment, as measured
constexpr std::uint64_t stated_rate = 1'000'000;    // events a second
constexpr std::uint64_t stated_frame = 224;         // bytes: a trade with its header

std::string megabytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%10.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

}  // namespace

std::vector<MemoryTerm> memory_plan(const Config& config) {
  std::vector<MemoryTerm> terms{{"RouDi's management", roudi_bytes}};
  for (const TopicConfig& topic : config.topics) {
    terms.push_back({"rings of " + topic.name, topic.ring_bytes * topic.publishers});
  }
  terms.push_back({"order rings", config.topics.size() * ring::order_ring_bytes(limits::order_entries)});
  terms.push_back({"watermarks", config.topics.size() * limits::memory_page});
  std::uint64_t readers = 0;
  for (const TopicConfig& topic : config.topics) readers += topic.readers;
  terms.push_back({"subscribers' pages, all taken", readers * limits::memory_page});
  return terms;
}

std::string print_check(const Config& config) {
  std::string out = "configuration is sound\n\nshared memory\n";
  std::uint64_t sum = 0;
  for (const MemoryTerm& term : memory_plan(config)) {
    sum += term.bytes;
    out += "  " + megabytes(term.bytes) + "  " + term.holder + "\n";
  }
  out += "  " + megabytes(sum) + "  in all; while clients reconnect to a new core, the old rings stay mapped too\n";
  out += "\na stall of the disk is bridged, at " + std::to_string(stated_rate) + " events/s of " +
         std::to_string(stated_frame) + " bytes a publisher, for\n";
  for (const TopicConfig& topic : config.topics) {
    const std::size_t pages = ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes);
    const std::uint64_t room = (pages - topic.grant_ahead) * topic.page_bytes;
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
