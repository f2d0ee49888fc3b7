// Takes any text as a configuration: it is refused, naming the place, or everything in it is within the limits that the
// core relies on.
#include <cstdint>
#include <string>

#include "bus/base/assert.hpp"
#include "bus/daemon/config.hpp"
#include "bus/daemon/memory_plan.hpp"
#include "bus/ring/ring.hpp"

namespace {

using namespace millrace;
using namespace millrace::daemon;

void must_be_sound(const TopicConfig& topic) {
  MILLRACE_ASSERT(!topic.name.empty() && topic.name.size() <= limits::topic_name_size_max, "a topic has a name");
  MILLRACE_ASSERT(topic.publishers >= 1 && topic.publishers <= limits::publishers_max, "publishers are bounded");
  MILLRACE_ASSERT(topic.readers <= limits::readers_max, "so are readers");
  MILLRACE_ASSERT(topic.page_bytes <= limits::page_size_max, "so are pages");
  // What a ring is laid out by (ring/ring.hpp), and the sum that bounds it (bus/README.md).
  const std::size_t pages = ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes);
  MILLRACE_ASSERT(pages >= topic.readers + topic.grant_ahead + topic.unsynced_max + 2, "a ring has the pages it needs");
  MILLRACE_ASSERT(granted_ahead(topic) >= topic.grant_ahead && granted_ahead(topic) < pages, "and grants no more");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config(text, "millrace.toml");
  if (!config) {
    MILLRACE_ASSERT(config.error().message.starts_with("millrace.toml"), "a refusal names the place");
    return 0;
  }
  for (const TopicConfig& topic : config->topics) must_be_sound(topic);
  if (!check_memory(*config, 1ull << 40)) return 0;
  for (const TopicConfig& topic : config->topics) {
    MILLRACE_ASSERT(limits::chunk_bytes(topic.ring_bytes) <= limits::pool_bytes_max, "a ring fits its pool");
  }
  return 0;
}
