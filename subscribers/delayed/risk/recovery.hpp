// Where a risk engine that starts again goes on: the newest snapshot, the alerts behind it in the log, and the inputs
// from where the snapshot stands.
#pragma once

#include <optional>

#include "bus/bus.hpp"
#include "subscribers/delayed/risk/alert.hpp"
#include "subscribers/delayed/risk/snapshot.hpp"
#include "wal/snapshot_folder.hpp"

namespace millrace::delayed::risk {

// The newest snapshot that is whole and none of whose alerts the log lacks. What cannot be used is logged. Errors: what
// the disk says.
[[nodiscard]] Result<std::optional<Snapshot>> newest(wal::SnapshotFolder& folder, Sequence recorded);

// Takes the publisher's alerts, who shows meanwhile that he lives, behind `memory` into it, up to `recorded`, and gives
// the last one of all; nullopt if there is none, or if the memory has it and the log does not any more: then the memory
// stands behind it. `alerts`: of risk_alerts from the earliest, at level synced. Errors: deleted (alerts behind the
// memory are gone from the log), those of the subscription, timed_out (they do not come).
[[nodiscard]] Result<std::optional<Alert>> take_alerts(Subscriber& alerts, Publisher& publisher, Sequence recorded,
                                                       Memory& memory);

// An input that ends before what the last alert was judged on has lost what was said: the engine would be silent until
// it is as long again. Errors: rolled_back.
[[nodiscard]] Status check_reach(Input input, Subscriber& subscriber, const std::optional<Alert>& last);

// Where the input is to be read from. Positions need every trade; of the other two the newest events say it all, so
// where the log begins behind a snapshot that serves as well: see subscribe_input().
[[nodiscard]] Start start_of(Input input, const std::optional<Snapshot>& snapshot);
// Errors: deleted for trades whose log begins too late, and those of Bus::subscribe.
[[nodiscard]] Result<Subscriber> subscribe_input(Bus& bus, Input input, const std::optional<Snapshot>& snapshot);

}  // namespace millrace::delayed::risk
