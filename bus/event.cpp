#include "bus/event.hpp"

namespace millrace {

std::string_view to_string(Level level) {
  switch (level) {
    case Level::live:
      return "live";
    case Level::recorded:
      return "recorded";
    case Level::synced:
      return "synced";
  }
  return "unknown";
}

std::string_view to_string(Gap::Reason reason) {
  switch (reason) {
    case Gap::Reason::lapped:
      return "lapped";
    case Gap::Reason::not_recorded:
      return "not_recorded";
    case Gap::Reason::retracted:
      return "retracted";
    case Gap::Reason::rolled_back:
      return "rolled_back";
  }
  return "unknown";
}

}  // namespace millrace
