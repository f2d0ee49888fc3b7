#include "bus/base/ack.hpp"

namespace millrace {

std::string_view to_string(AckStatus status) {
  switch (status) {
    case AckStatus::acknowledged:
      return "acknowledged";
    case AckStatus::timed_out:
      return "timed_out";
    case AckStatus::not_recorded:
      return "not_recorded";
    case AckStatus::disconnected:
      return "disconnected";
    case AckStatus::failed:
      return "failed";
    case AckStatus::no_consumer:
      return "no_consumer";
    case AckStatus::closed:
      return "closed";
  }
  return "unknown";
}

std::string_view to_string(Fate fate) {
  switch (fate) {
    case Fate::pending:
      return "pending";
    case Fate::recorded:
      return "recorded";
    case Fate::synced:
      return "synced";
    case Fate::not_recorded:
      return "not_recorded";
    case Fate::lost:
      return "lost";
  }
  return "unknown";
}

}  // namespace millrace
