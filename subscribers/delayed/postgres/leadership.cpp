#include "subscribers/delayed/postgres/leadership.hpp"

namespace millrace::delayed::postgres {
namespace {

constexpr std::string_view lock_not_available = "55P03";

// Of a connection; the server cuts names at 63 bytes, so the sink's stands hashed.
std::string mark_of(const std::string& sink) {
  return "millrace sink " + std::to_string(key_of(sink).value()) + " token ";
}

}  // namespace

std::string interval_of(std::chrono::nanoseconds length) {
  return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(length).count()) + " microseconds";
}

DatabaseResult<std::optional<std::int64_t>> elect(Connection& connection, const std::string& sink,
                                                  const std::string& holder, std::chrono::nanoseconds length) {
  const auto won = connection.run(
      "INSERT INTO sink_leader AS l (name, token, holder, heartbeat, expires) "
      "VALUES ($1, 1, $2, clock_timestamp(), clock_timestamp() + $3::interval) "
      "ON CONFLICT (name) DO UPDATE SET token = l.token + 1, holder = excluded.holder, heartbeat = clock_timestamp(), "
      "expires = clock_timestamp() + $3::interval WHERE l.expires < clock_timestamp() RETURNING token",
      {sink, holder, interval_of(length)});
  if (!won && won.error().sqlstate == lock_not_available) return std::nullopt;  // its leader is about to commit
  if (!won) return tl::unexpected(won.error());
  if (won->size() == 0) return std::nullopt;
  const Lease lease{sink, won->number(0, 0), length};
  if (const auto marked = mark(connection, lease); !marked) return tl::unexpected(marked.error());
  const auto ended = connection.run(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
      "AND usename = current_user AND pid <> pg_backend_pid() AND starts_with(application_name, $1)",
      {mark_of(sink)});
  if (!ended) return tl::unexpected(ended.error());
  return lease.token;
}

DatabaseResult<void> mark(Connection& connection, const Lease& lease) {
  const auto named = connection.run("SELECT set_config('application_name', $1, false)",
                                    {mark_of(lease.sink) + std::to_string(lease.token)});
  if (!named) return tl::unexpected(named.error());
  return {};
}

DatabaseResult<bool> renew(Connection& connection, const Lease& lease) {
  const auto renewed = connection.run(
      "UPDATE sink_leader SET heartbeat = clock_timestamp(), expires = clock_timestamp() + $3::interval "
      "WHERE name = $1 AND token = $2",
      {lease.sink, std::to_string(lease.token), interval_of(lease.length)});
  if (!renewed) return tl::unexpected(renewed.error());
  return renewed->touched() == 1;
}

DatabaseResult<void> release(Connection& connection, const Lease& lease) {
  const auto released = connection.run("UPDATE sink_leader SET expires = '-infinity' WHERE name = $1 AND token = $2",
                                       {lease.sink, std::to_string(lease.token)});
  if (!released) return tl::unexpected(released.error());
  return {};
}

DatabaseResult<std::optional<Checkpoint>> read_checkpoint(Connection& connection, const std::string& topic) {
  const auto rows = connection.run(
      "SELECT sink, replace(log_id::text, '-', ''), run, next_offset FROM sink_checkpoints WHERE topic = $1", {topic});
  if (!rows) return tl::unexpected(rows.error());
  if (rows->size() == 0) return std::nullopt;
  return Checkpoint{
      std::string(rows->text(0, 0)),
      {LogId{uuid_bytes_from_hex(rows->text(0, 1)).value_or(LogId{}.bytes)},
       Run(static_cast<std::uint64_t>(rows->number(0, 2))), Offset(static_cast<std::uint64_t>(rows->number(0, 3)))}};
}

DatabaseResult<void> create_checkpoint(Connection& connection, const std::string& topic, const Position& position,
                                       const Lease& lease) {
  const auto made = connection.run(
      "WITH leader AS (SELECT token FROM sink_leader WHERE name = $2 AND token = $6 FOR SHARE) "
      "INSERT INTO sink_checkpoints (topic, sink, log_id, run, next_offset, token) "
      "SELECT $1, $2, $3::uuid, $4, $5, token FROM leader",
      {topic, lease.sink, to_hex(position.log_id.bytes), std::to_string(position.run.value()),
       std::to_string(position.offset.value()), std::to_string(lease.token)});
  if (!made) return tl::unexpected(made.error());
  if (made->touched() == 1) return {};
  return tl::unexpected(DatabaseError{std::string(not_the_leader), "another process leads", false});
}

}  // namespace millrace::delayed::postgres
