// Which of several sinks of one name writes. The one that holds the newest token in sink_leader does, for as long as it
// renews its lease, by the database's clock; another takes over once the lease has run out, with the next token. What
// keeps a leader that was stopped, and wakes up later, from writing is not the lease but the token: every batch's
// transaction ends with sink_advance(), which looks at it under the row's lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "bus/base/ids.hpp"
#include "subscribers/delayed/postgres/connection.hpp"

namespace millrace::delayed::postgres {

// SQLSTATEs of sink_advance().
inline constexpr std::string_view not_the_leader = "MR001";
inline constexpr std::string_view checkpoint_elsewhere = "MR002";

struct Lease {
  std::string sink;
  std::int64_t token = 0;
  std::chrono::nanoseconds length = std::chrono::seconds(10);
};
// The length as PostgreSQL reads an interval.
[[nodiscard]] std::string interval_of(std::chrono::nanoseconds length);

// The new token, if nobody leads or the leader's lease has run out. Then connections that earlier tokens still have are
// ended, with the locks that they hold. nullopt: another one leads.
[[nodiscard]] DatabaseResult<std::optional<std::int64_t>> elect(Connection& connection, const std::string& sink,
                                                                const std::string& holder,
                                                                std::chrono::nanoseconds length);
// Names the connection after the token, for who takes over to find.
[[nodiscard]] DatabaseResult<void> mark(Connection& connection, const Lease& lease);
// False: another one leads.
[[nodiscard]] DatabaseResult<bool> renew(Connection& connection, const Lease& lease);
// The next one need not wait for the lease to run out.
[[nodiscard]] DatabaseResult<void> release(Connection& connection, const Lease& lease);

// How far a topic's tables are.
struct Checkpoint {
  std::string sink;
  Position position;
};
[[nodiscard]] DatabaseResult<std::optional<Checkpoint>> read_checkpoint(Connection& connection,
                                                                        const std::string& topic);
// The topic's first one. An error with not_the_leader if another one leads.
[[nodiscard]] DatabaseResult<void> create_checkpoint(Connection& connection, const std::string& topic,
                                                     const Position& position, const Lease& lease);

}  // namespace millrace::delayed::postgres
