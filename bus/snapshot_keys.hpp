// What a snapshot of a topic has one event of each of: the key of its events, as the log asks for it.
#pragma once

#include "schemas/registry.hpp"
#include "wal/key_index.hpp"

namespace millrace {

// By EventType::snapshot_key(). Frames of another type and payloads that their verifier refuses have none. `type`
// outlives it.
[[nodiscard]] wal::KeyDefinition snapshot_keys(const schemas::EventType& type);

}  // namespace millrace
