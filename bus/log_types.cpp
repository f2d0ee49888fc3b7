#include "bus/log_types.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include "wal/posix_file_system.hpp"

namespace millrace {
namespace {

std::string number(EventTypeId id) {
  return std::to_string(static_cast<unsigned>(id));
}

}  // namespace

const schemas::EventType* LogTypes::look_up(EventTypeId id, Offset at) {
  Versions& versions = versions_of(id);
  last_id_ = id;
  last_from_ = Offset(0);
  last_until_ = newest;
  last_ = registry_.find(id);
  for (Version& version : versions) {
    if (version.kept.until && at >= *version.kept.until) {
      last_from_ = *version.kept.until;
      continue;
    }
    if (!version.loaded) load(id, version);
    last_until_ = version.kept.until.value_or(newest);
    last_ = version.type;
    break;
  }
  return last_;
}

std::vector<const schemas::EventType*> LogTypes::all(EventTypeId id) {
  std::vector<const schemas::EventType*> types;
  Versions& versions = versions_of(id);
  for (Version& version : versions) {
    if (!version.loaded) load(id, version);
    if (version.type != nullptr) types.push_back(version.type);
  }
  if (versions.empty() && registry_.find(id) != nullptr) types.push_back(registry_.find(id));
  return types;
}

LogTypes::Versions& LogTypes::versions_of(EventTypeId id) {
  const auto [place, is_new] = known_.try_emplace(id);
  Versions& versions = place->second;
  if (!is_new) return versions;
  const auto kept = kept_schemas(wal::posix_file_system(), folder_);
  if (!kept) {
    problem_ = kept.error().message;
    return versions;
  }
  const schemas::EventType* const built_in = registry_.find(id);
  std::string name = built_in == nullptr ? std::string() : std::string(built_in->name());
  if (built_in == nullptr) {
    // By the number in its names; in a folder that has none, the one type that did not come with millrace.
    std::set<std::string> others;
    for (const KeptSchema& each : *kept) {
      const auto named = kept_names(each).event_type;
      if (named == id) name = each.type;
      if (!named && registry_.find(each.type) == nullptr) others.insert(each.type);
    }
    if (name.empty() && others.size() == 1) name = *others.begin();
    if (name.empty()) {
      problem_ = "event type " + number(id) + ": " + folder_ + " holds " + std::to_string(others.size()) +
                 " schemas (*.bfbs) that could be its, one is wanted";
      return versions;
    }
  }
  for (const KeptSchema& each : *kept) {
    if (each.type == name) versions.push_back({each, false, nullptr, nullptr});
  }
  return versions;
}

void LogTypes::load(EventTypeId id, Version& version) {
  version.loaded = true;
  std::ifstream in(version.kept.path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  const auto bfbs = std::as_bytes(std::span(bytes));
  const schemas::EventType* const built_in = registry_.find(id);
  if (built_in != nullptr && std::ranges::equal(built_in->bfbs(), bfbs)) {
    version.type = built_in;
    return;
  }
  const SchemaNames names = kept_names(version.kept);
  auto type = schemas::Registry::make_kept(version.kept.type, id, bfbs,
                                           root_.empty() || built_in != nullptr ? names.root : root_, names.key_field,
                                           version.kept.path);
  if (!type) {
    problem_ = type.error().message;
    return;
  }
  version.own = std::move(*type);
  version.type = version.own.get();
}

}  // namespace millrace
