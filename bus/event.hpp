// What a subscriber is handed: an event where it lies, or the report of a gap.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "bus/base/clock.hpp"
#include "bus/base/frame.hpp"
#include "bus/base/ids.hpp"

namespace millrace {

// What a subscription may rely on.
enum class Level {
  live,      // per publisher in order, offset unknown; may show what the log will never have
  recorded,  // log order, offset known; lost only if the host dies
  synced,    // log order, offset known; never lost
};
[[nodiscard]] std::string_view to_string(Level level);

// Valid until the next poll of the subscription that gave it.
struct Event {
  FrameView frame;
  PublisherId publisher;
  Epoch epoch;
  std::optional<Offset> offset;  // at levels recorded and synced
  WallTime record_time;          // likewise; else 0
  bool snapshot = false;         // part of a snapshot: as it was when the subscription began, see bus.hpp

  [[nodiscard]] Sequence sequence() const { return frame.sequence(); }
  [[nodiscard]] std::span<const std::byte> payload() const { return frame.payload(); }
};

// Events `from` to `to`, both included, of a publisher that this subscription will not see, or should not have.
struct Gap {
  enum class Reason {
    lapped,        // level live: read too slowly; the log has them
    not_recorded,  // the log never had them: the disk stalled under live_only, or failed without syncing
    retracted,     // level live: shown, and the log will never have them
    rolled_back,   // level recorded: everything shown from offset `void_from` on is void, and comes anew
  };
  Reason reason = Reason::lapped;
  PublisherId publisher;
  Sequence from;
  Sequence to;
  Offset void_from{};  // if rolled_back; then there is no publisher
};
[[nodiscard]] std::string_view to_string(Gap::Reason reason);

}  // namespace millrace
