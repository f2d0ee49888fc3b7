#include "subscribers/realtime/gather.hpp"

#include <algorithm>

namespace millrace::gateway {

bool passes(const protocol::Filter& filter, const EventBlock::Entry& entry, FrameView frame,
            const schemas::EventType& type) {
  if (filter.field.empty()) return true;
  if (!filter.keys.empty() && std::find(filter.keys.begin(), filter.keys.end(), frame.key()) == filter.keys.end()) {
    return false;
  }
  // An invalid payload cannot be asked: it is shown, as invalid.
  if (!entry.valid) return true;
  return std::any_of(filter.values.begin(), filter.values.end(),
                     [&](const std::string& value) { return type.matches(frame.payload(), filter.field, value); });
}

void gather(EventBlock& block, const protocol::Filter& filter, protocol::Encoding encoding,
            const schemas::EventType& type, std::size_t bytes_max, Body& body, Counters& counters) {
  for (std::size_t i = body.next - block.first(); i < block.count() && body.bytes.size() < bytes_max; ++i) {
    ++body.next;
    const EventBlock::Entry& entry = block.entry(i);
    if (!passes(filter, entry, block.frame(i), type)) continue;
    if (encoding == protocol::Encoding::binary) {
      protocol::append_binary_event(block.first() + i, entry, block.frame(i), body.bytes);
    } else {
      bool made = false;
      const std::string_view json = block.json(i, type, made);
      if (made) counters.add(Counter::json_encoded);
      if (body.count > 0) body.bytes += ',';
      body.bytes += json;
    }
    ++body.count;
  }
}

}  // namespace millrace::gateway
