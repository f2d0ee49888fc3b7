// A log explains itself: beside its segments stand the binary schema of its events, and a text that names the table of
// the schema that they are, and the field that is their key.
#pragma once

#include <string>

#include "bus/base/result.hpp"
#include "schemas/registry.hpp"

namespace millrace::daemon {

struct SchemaNames {
  std::string root;       // empty: the schema's root_type
  std::string key_field;  // empty: the one marked in the schema, if one is
};

// Writes <folder>/<type>.bfbs and <folder>/<type>.names, unless they stand there already.
[[nodiscard]] Status keep_schema(const std::string& folder, const schemas::EventType& type);
// What stands in <folder>/<type>.names; empty names if there is no such file.
[[nodiscard]] SchemaNames kept_names(const std::string& folder, const std::string& type);

}  // namespace millrace::daemon
