// A log explains itself: beside its segments stand the binary schema of its events, and a text that names the table of
// the schema that they are, the field that is their key, and their number.
//
//   <type>.bfbs, <type>.names                                  of the newest events
//   <type>-until-<offset, 20 digits>.bfbs, .names              of the events before that offset, and from the offset of
//                                                              the next lower one on
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "schemas/registry.hpp"
#include "wal/file_system.hpp"

namespace millrace {

struct SchemaNames {
  std::string root;                         // empty: the schema's root_type
  std::string key_field;                    // empty: the one marked in the schema, if one is
  std::optional<EventTypeId> event_type{};  // not in logs of version 1.0
};

// One schema of those that stand in a folder.
struct KeptSchema {
  std::string type;
  std::optional<Offset> until;  // of the events before it; nothing: of the newest
  std::string path;             // of the .bfbs
};

// Keeps the schema of the events from `next` on; one that was another, and has events, is kept beside it. Durable when
// this returns.
[[nodiscard]] Status keep_schema(wal::FileSystem& files, const std::string& folder, const schemas::EventType& type,
                                 Offset next);
// By type, and of each the oldest first.
[[nodiscard]] Result<std::vector<KeptSchema>> kept_schemas(wal::FileSystem& files, const std::string& folder);
// What stands beside it; empty names if there is no such file.
[[nodiscard]] SchemaNames kept_names(const KeptSchema& schema);

}  // namespace millrace
