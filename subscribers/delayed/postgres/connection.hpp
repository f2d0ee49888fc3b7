// A connection to PostgreSQL, through libpq: no call waits longer than the connection's time-out, and while it waits it
// lets its owner show that it lives.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "bus/base/clock.hpp"

namespace millrace::delayed::postgres {

// SQLSTATE, of our own, of a database's address that libpq cannot read.
inline constexpr std::string_view wrong_address = "MR004";

struct DatabaseError {
  std::string sqlstate;  // five characters; empty if no server said it
  std::string message;
  bool lost = false;  // the connection is of no use any more; whether a statement under way was done is not known

  // Of a row's values: another row would be taken.
  [[nodiscard]] bool of_a_row() const;
  // Of how the database is at the moment: away, starting, full, busy. Else a person must change something.
  [[nodiscard]] bool may_pass() const;
};
template <class T>
using DatabaseResult = tl::expected<T, DatabaseError>;

// What a statement gave.
class Rows {
 public:
  explicit Rows(PGresult* result) : result_(result) {}

  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(PQntuples(result_.get())); }
  [[nodiscard]] int columns() const { return PQnfields(result_.get()); }
  [[nodiscard]] std::string_view text(std::size_t row, int column) const;
  [[nodiscard]] std::int64_t number(std::size_t row, int column) const;
  // Rows that an INSERT, UPDATE or DELETE touched.
  [[nodiscard]] std::int64_t touched() const;

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

// One thread. After an error with `lost` it is to be thrown away.
class Connection {
 public:
  struct Options {
    std::string database;  // a connection URI, or keywords and values, as psql takes them
    std::chrono::nanoseconds timeout = std::chrono::seconds(30);  // of connecting and of each statement
    std::function<void()> while_waiting{};                        // called about every 50 ms
  };
  // Errors say what the server, or the system, did.
  [[nodiscard]] static DatabaseResult<Connection> open(Options options);

  // One or more statements without parameters; what the last one gave.
  [[nodiscard]] DatabaseResult<Rows> run(const std::string& sql);
  // One statement; parameters are texts, $1 the first, nullopt is NULL.
  [[nodiscard]] DatabaseResult<Rows> run(const std::string& sql,
                                         std::initializer_list<std::optional<std::string>> parameters);
  // `sql` ends with a COPY ... FROM STDIN, for which the bytes are.
  [[nodiscard]] DatabaseResult<void> copy(const std::string& sql, std::span<const std::byte> bytes);

  void while_waiting(std::function<void()> call) { options_.while_waiting = std::move(call); }
  // As a literal of SQL, quotes included.
  [[nodiscard]] std::string quoted(std::string_view text) const;

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  using Deadline = MonotonicTime;

  Connection(PGconn* connection, Options options) : connection_(connection), options_(std::move(options)) {}

  [[nodiscard]] DatabaseResult<void> connect();
  [[nodiscard]] DatabaseResult<void> wait_for(short events, Deadline deadline);
  [[nodiscard]] DatabaseResult<void> flush(Deadline deadline);
  // The next result; null behind the last.
  [[nodiscard]] DatabaseResult<PGresult*> next_result(Deadline deadline);
  // All results up to the last, or up to one that wants bytes copied in.
  [[nodiscard]] DatabaseResult<Rows> finish(Deadline deadline);
  [[nodiscard]] tl::unexpected<DatabaseError> lost(std::string_view doing) const;
  // Why there is no connection, with the SQLSTATE. `at_once`: it did not come to waiting for an answer.
  [[nodiscard]] tl::unexpected<DatabaseError> refused(bool at_once) const;
  [[nodiscard]] Deadline deadline() const;

  std::unique_ptr<PGconn, Finish> connection_;
  Options options_;
  MonotonicTime shown_;  // while_waiting was called
};

}  // namespace millrace::delayed::postgres
