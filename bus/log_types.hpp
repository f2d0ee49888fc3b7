// The types of a log's events: as the log's folder explains them, else those that come with this build.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "bus/log_schema.hpp"
#include "schemas/registry.hpp"

namespace millrace {

// Looked up number by number, as frames ask for them. One thread at a time. Pointers to types hold as long as it lives.
class LogTypes {
 public:
  static constexpr Offset newest{UINT64_MAX};

  // `root` overrides the table that the log names for users' types; empty: it does not.
  LogTypes(std::string folder, std::string root)
      : registry_(schemas::Registry::built_in()), folder_(std::move(folder)), root_(std::move(root)) {}

  // The schema that the event at that offset was written by; nullptr if there is none that can be read.
  [[nodiscard]] const schemas::EventType* find(EventTypeId id, Offset at = newest) {
    if (id == last_id_ && at >= last_from_ && at < last_until_) return last_;
    return look_up(id, at);
  }
  // All that the log has had, or the one of this build; oldest first, without those that cannot be read.
  [[nodiscard]] std::vector<const schemas::EventType*> all(EventTypeId id);
  // Why a find() gave nothing; empty if none ever did.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  struct Version {
    KeptSchema kept;
    bool loaded = false;
    const schemas::EventType* type = nullptr;
    std::unique_ptr<schemas::EventType> own;
  };
  using Versions = std::vector<Version>;  // oldest first; the last is of the newest events

  [[nodiscard]] const schemas::EventType* look_up(EventTypeId id, Offset at);
  [[nodiscard]] Versions& versions_of(EventTypeId id);
  void load(EventTypeId id, Version& version);

  schemas::Registry registry_;
  std::string folder_;
  std::string root_;
  std::map<EventTypeId, Versions> known_;
  std::string problem_;
  // The last answer holds for a range of offsets: nearly always for all that are asked.
  EventTypeId last_id_{};
  Offset last_from_;
  Offset last_until_;
  const schemas::EventType* last_ = nullptr;
};

}  // namespace millrace
