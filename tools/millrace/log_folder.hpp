// A topic's log as files: where it lies, and the types of its events.
#pragma once

#include <map>
#include <string>

#include "bus/base/result.hpp"
#include "schemas/registry.hpp"

namespace millrace::cli {

struct LogChoice {
  std::string log{};     // a folder, or the name of a topic
  std::string config{};  // of millraced, to find a topic's folder; empty: the defaults
  std::string root{};    // table of a user's schema; empty: the one that the log names
};

// A path (with a '/', or that exists) as it is; a topic's folder in the configuration's log_dir.
// Errors: not_found, and what is wrong with the configuration.
[[nodiscard]] Result<std::string> find_log(const LogChoice& choice);

// Knows the types that come with millrace, and those whose binary schema stands in the folder. Number by number, as
// frames ask for them.
class LogTypes {
 public:
  LogTypes(std::string folder, std::string root)
      : registry_(schemas::Registry::built_in()), folder_(std::move(folder)), root_(std::move(root)) {}

  // nullptr if the folder has no schema for it.
  [[nodiscard]] const schemas::EventType* find(EventTypeId id);
  // Why the last find() of a user's type gave nothing; empty if it never did.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  [[nodiscard]] const schemas::EventType* load(EventTypeId id);

  schemas::Registry registry_;
  std::string folder_;
  std::string root_;
  std::map<EventTypeId, const schemas::EventType*> loaded_;
  std::string problem_;
};

}  // namespace millrace::cli
