// The tables' definitions: plain SQL files in migrations/, built into the program, applied in order, each in a
// transaction of its own, and written down with their checksum. A file that was applied never changes: what is new is a
// new file. They can also be run by psql: applying one again changes nothing.
#pragma once

#include <span>
#include <string_view>

#include "bus/base/result.hpp"
#include "subscribers/delayed/postgres/connection.hpp"

namespace millrace::delayed::postgres {

struct Migration {
  std::string_view name;  // of its file; they are applied in the order of names
  std::string_view sql;
};
[[nodiscard]] std::span<const Migration> embedded_migrations();

// Applies what is missing; how many. Several processes may do so at once. A process without the right to create tables
// does well where nothing is missing.
// Errors: corrupt (an applied one has changed), unsupported (the database knows one that this program does not),
// not_permitted, io_failed.
[[nodiscard]] Result<int> migrate(Connection& connection, std::span<const Migration> migrations);

// As an error of ours: what to do about a database that says this.
[[nodiscard]] Error explain(const DatabaseError& error, std::string_view doing);

}  // namespace millrace::delayed::postgres
