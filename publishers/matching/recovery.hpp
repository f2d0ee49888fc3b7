// How an engine comes back with its book: from the newest snapshot, and the orders behind it once more. The same orders
// give the same events, so what its publishers' logs have is made again but not published again (BusOutlet), each topic
// by its own last sequence: no order is matched twice, and none is lost.
//
// Orders are taken at level synced only: an event must never stand for an order that a power cut takes back. For the
// same reason nothing here depends on the process: the session in trade ids comes from the orders' log.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/start.hpp"
#include "publishers/matching/outlet.hpp"
#include "publishers/matching/snapshot.hpp"
#include "publishers/matching/venue.hpp"

namespace millrace::matching {

// Where to subscribe to the orders: where the snapshot stands, or else at the very first.
[[nodiscard]] Start start_of(const std::optional<Snapshot>& snapshot);
// What Bus::subscribe() said to that start, in the words of an engine that cannot come back.
[[nodiscard]] Error cannot_come_back(const Error& why, const std::optional<Snapshot>& snapshot);

// `orders`: the log that the engine reads. Errors: those of Venue::open and Venue::restore.
[[nodiscard]] Result<std::unique_ptr<Venue>> venue_again(std::vector<InstrumentConfig> instruments, LogId orders,
                                                         const std::optional<Snapshot>& snapshot);

// Of the engine's publishers, each in the log of its topic.
struct OutputLog {
  std::string folder;
  PublisherId publisher;
};
[[nodiscard]] Result<BusOutlet::LastOnes> last_ones(wal::FileSystem& files,
                                                    const std::array<OutputLog, kOutputTopics>& logs);

}  // namespace millrace::matching
