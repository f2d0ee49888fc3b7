#include "bus/snapshot_keys.hpp"

namespace millrace {

wal::KeyDefinition snapshot_keys(const schemas::EventType& type) {
  // Of the whole schema: an enum that gets another name is another key.
  const std::string_view schema(reinterpret_cast<const char*>(type.bfbs().data()), type.bfbs().size());
  const std::string text = std::to_string(static_cast<unsigned>(type.id())) + " " + std::string(type.root()) + " " +
                           type.snapshot_fields() + " " + std::to_string(key_of(schema).value());
  return {key_of(text).value(), [&type](const FrameView& frame, std::string& scratch) {
            if (frame.event_type() != type.id() || !type.verify(frame.payload())) return std::string_view{};
            return type.snapshot_key(frame.payload(), scratch);
          }};
}

}  // namespace millrace
