#include "subscribers/delayed/postgres/migrations.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>
#include <map>
#include <string>

namespace millrace::delayed::postgres {
namespace {

// Held while migrations are applied, by whoever does.
constexpr const char* lock = "SELECT pg_advisory_xact_lock(x'6d696c6c72616365'::bit(64)::bigint)";

std::string checksum(std::string_view sql) {
  char hex[33];
  const XXH128_hash_t hash = XXH3_128bits(sql.data(), sql.size());
  (void)std::snprintf(hex, sizeof hex, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                      static_cast<unsigned long long>(hash.low64));
  return hex;
}

using Applied = std::map<std::string, std::string, std::less<>>;  // name -> checksum

DatabaseResult<Applied> read_applied(Connection& connection) {
  Applied applied;
  const auto there = connection.run("SELECT to_regclass('millrace_migrations') IS NOT NULL");
  if (!there) return tl::unexpected(there.error());
  if (there->text(0, 0) != "t") return applied;
  const auto rows = connection.run("SELECT name, checksum FROM millrace_migrations");
  if (!rows) return tl::unexpected(rows.error());
  for (std::size_t i = 0; i < rows->size(); ++i) applied.emplace(rows->text(i, 0), rows->text(i, 1));
  return applied;
}

Status check(const Applied& applied, std::span<const Migration> migrations) {
  std::size_t known = 0;
  for (const Migration& migration : migrations) {
    const auto it = applied.find(migration.name);
    if (it == applied.end()) continue;
    ++known;
    if (it->second != checksum(migration.sql)) {
      return fail(ErrorCode::corrupt, "migration " + it->first +
                                          " has changed since it was applied to this database: run the release that "
                                          "applied it, and put changes into a new file");
    }
  }
  if (known == applied.size()) return {};
  return fail(ErrorCode::unsupported,
              "the database has migrations that this program does not know: a newer release wrote it; run that one");
}

DatabaseResult<void> apply(Connection& connection, const Migration& migration) {
  const std::string name(migration.name);
  auto done = connection.run(
      std::string("BEGIN; ") + lock +
      "; CREATE TABLE IF NOT EXISTS millrace_migrations (name text PRIMARY KEY, checksum text NOT NULL, applied "
      "timestamptz NOT NULL DEFAULT clock_timestamp());");
  // Another process may have been faster.
  if (done) done = connection.run("SELECT FROM millrace_migrations WHERE name = $1", {name});
  if (done && done->size() == 0) {
    done = connection.run(std::string(migration.sql));
    if (done) {
      done = connection.run("INSERT INTO millrace_migrations (name, checksum) VALUES ($1, $2)",
                            {name, checksum(migration.sql)});
    }
  }
  if (done) done = connection.run("COMMIT");
  if (done) return {};
  DatabaseError error = done.error();
  error.message = name + ": " + error.message;
  if (!error.lost) (void)connection.run("ROLLBACK");
  return tl::unexpected(error);
}

}  // namespace

Result<int> migrate(Connection& connection, std::span<const Migration> migrations) {
  const auto applied = read_applied(connection);
  if (!applied) return fail(explain(applied.error(), "reading which migrations the database has"));
  MILLRACE_TRY(check(*applied, migrations));
  int count = 0;
  for (const Migration& migration : migrations) {
    if (applied->contains(migration.name)) continue;
    if (const auto done = apply(connection, migration); !done) {
      return fail(explain(done.error(), "applying a migration"));
    }
    ++count;
  }
  return count;
}

Error explain(const DatabaseError& error, std::string_view doing) {
  const std::string what = std::string(doing) + ": " + error.message;
  if (error.sqlstate == "42501") {
    return {ErrorCode::not_permitted,
            what +
                ": the role needs CREATE on the schema to migrate (or have its owner run --migrate-only), and SELECT, "
                "INSERT, UPDATE and DELETE on the tables"};
  }
  if (error.sqlstate.empty()) {
    return {ErrorCode::disconnected, what + ": is --database right, and does the server run?"};
  }
  if (error.sqlstate == wrong_address) {
    return {ErrorCode::invalid_argument, what + ": --database wants a URI, or keywords and values, as psql does"};
  }
  return {error.may_pass() ? ErrorCode::disconnected : ErrorCode::io_failed,
          what + " (SQLSTATE " + error.sqlstate + ")"};
}

}  // namespace millrace::delayed::postgres
