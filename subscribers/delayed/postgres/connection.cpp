#include "subscribers/delayed/postgres/connection.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <regex>
#include <utility>
#include <vector>

#include "bus/base/assert.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds slice_most = 50ms;

// Without the newline that libpq ends its messages with.
std::string trimmed(const char* message) {
  std::string text = message == nullptr ? "" : message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// What a message at PQERRORS_VERBOSE holds: "FATAL:  28P01: why", with the place in the server's source in its last
// line. libpq gives the SQLSTATE of a connection that was refused nowhere else. With several hosts the last one's
// counts.
struct Verbose {
  explicit Verbose(std::string text) : message(std::move(text)) {
    static const std::regex state(":  ([0-9A-Z]{5}): ");
    std::ptrdiff_t at = -1;
    for (std::sregex_iterator found(message.begin(), message.end(), state), end; found != end; ++found) {
      sqlstate = found->str(1);
      at = found->position();
    }
    if (at < 0) return;
    message.erase(static_cast<std::size_t>(at) + 3, sqlstate.size() + 2);
    const std::size_t end = message.find_last_not_of('\n');
    const std::size_t place = message.rfind('\n', end);
    if (place != std::string::npos && place > static_cast<std::size_t>(at)) message.erase(place);
  }
  std::string message;
  std::string sqlstate;
};

std::int64_t parse(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

DatabaseError error_of(const PGresult* result) {
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* const primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  DatabaseError error{state == nullptr ? "" : state,
                      trimmed(primary != nullptr ? primary : PQresultErrorMessage(result)), false};
  if (const char* const detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL)) {
    error.message += " (" + trimmed(detail) + ")";
  }
  return error;
}

}  // namespace

bool DatabaseError::of_a_row() const {
  // Data exceptions, violated constraints and checked views, a limit that a value exceeds, and what triggers raise.
  return sqlstate.starts_with("22") || sqlstate.starts_with("23") || sqlstate.starts_with("44") ||
         sqlstate.starts_with("54") || sqlstate == "P0001";
}

bool DatabaseError::may_pass() const {
  if (sqlstate.empty()) return true;
  // Connections, transactions that somebody ended or that may not write yet, conflicts, resources, locks, an operator.
  constexpr std::array<std::string_view, 7> classes{"08", "25", "40", "53", "55", "57", "58"};
  return std::any_of(classes.begin(), classes.end(), [&](std::string_view one) { return sqlstate.starts_with(one); });
}

std::string_view Rows::text(std::size_t row, int column) const {
  const int at = static_cast<int>(row);
  return {PQgetvalue(result_.get(), at, column), static_cast<std::size_t>(PQgetlength(result_.get(), at, column))};
}

std::int64_t Rows::number(std::size_t row, int column) const {
  return parse(text(row, column));
}

std::int64_t Rows::touched() const {
  return parse(PQcmdTuples(result_.get()));
}

DatabaseResult<Connection> Connection::open(Options options) {
  PGconn* const started = PQconnectStart(options.database.c_str());
  MILLRACE_ASSERT(started != nullptr, "memory for a connection");
  (void)PQsetErrorVerbosity(started, PQERRORS_VERBOSE);
  Connection connection(started, std::move(options));
  if (const auto connected = connection.connect(); !connected) return tl::unexpected(connected.error());
  return connection;
}

DatabaseResult<void> Connection::connect() {
  const Deadline until = deadline();
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return refused(true);
  while (next != PGRES_POLLING_OK) {
    if (next == PGRES_POLLING_FAILED) return refused(false);
    if (const auto ready = wait_for(next == PGRES_POLLING_READING ? POLLIN : POLLOUT, until); !ready) return ready;
    next = PQconnectPoll(connection_.get());
  }
  (void)PQsetErrorVerbosity(connection_.get(), PQERRORS_DEFAULT);
  PQsetnonblocking(connection_.get(), 1);
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  return {};
}

DatabaseResult<Rows> Connection::run(const std::string& sql) {
  if (PQsendQuery(connection_.get(), sql.c_str()) != 1) return lost("sending a statement");
  return finish(deadline());
}

DatabaseResult<Rows> Connection::run(const std::string& sql,
                                     std::initializer_list<std::optional<std::string>> parameters) {
  std::vector<const char*> values;
  for (const auto& parameter : parameters) values.push_back(parameter ? parameter->c_str() : nullptr);
  if (PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                        nullptr, nullptr, 0) != 1) {
    return lost("sending a statement");
  }
  return finish(deadline());
}

DatabaseResult<void> Connection::copy(const std::string& sql, std::span<const std::byte> bytes) {
  if (PQsendQuery(connection_.get(), sql.c_str()) != 1) return lost("sending a statement");
  const Deadline until = deadline();
  if (const auto begun = finish(until); !begun) return tl::unexpected(begun.error());
  constexpr std::size_t piece = 256 << 10;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto part = bytes.subspan(at, std::min(piece, bytes.size() - at));
    const int put =
        PQputCopyData(connection_.get(), reinterpret_cast<const char*>(part.data()), static_cast<int>(part.size()));
    if (put < 0) return lost("copying rows");
    if (put == 1) at += part.size();
    if (const auto sent = flush(until); !sent) return sent;
  }
  for (int end = 0; end != 1;) {
    end = PQputCopyEnd(connection_.get(), nullptr);
    if (end < 0) return lost("copying rows");
    if (const auto sent = flush(until); !sent) return sent;
  }
  if (const auto done = finish(until); !done) return tl::unexpected(done.error());
  return {};
}

std::string Connection::quoted(std::string_view text) const {
  char* const literal = PQescapeLiteral(connection_.get(), text.data(), text.size());
  if (literal == nullptr) return "''";  // not UTF-8: no name that we use
  std::string copy = literal;
  PQfreemem(literal);
  return copy;
}

DatabaseResult<void> Connection::wait_for(short events, Deadline until) {
  for (;;) {
    const auto now = system_clock().monotonic();
    if (now >= until) {
      return tl::unexpected(DatabaseError{"", "the database does not answer in time", true});
    }
    // By the clock: a server that takes a little at a time is never waited for so long.
    if (options_.while_waiting && now - shown_ >= slice_most) {
      shown_ = now;
      options_.while_waiting();
    }
    pollfd socket{PQsocket(connection_.get()), events, 0};
    const auto slice = std::min<std::chrono::nanoseconds>(until - now, slice_most);
    const int ready = ::poll(&socket, 1, static_cast<int>((slice + 999us) / 1ms));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) {
      return tl::unexpected(DatabaseError{"", std::string("poll: ") + std::strerror(errno), true});
    }
  }
}

DatabaseResult<void> Connection::flush(Deadline until) {
  for (;;) {
    const int left = PQflush(connection_.get());
    if (left < 0) return lost("sending");
    if (left == 0) return {};
    if (const auto ready = wait_for(POLLIN | POLLOUT, until); !ready) return ready;
    // A server that complains stops reading: what it says is taken in, or both would wait.
    if (PQconsumeInput(connection_.get()) != 1) return lost("sending");
  }
}

DatabaseResult<PGresult*> Connection::next_result(Deadline until) {
  while (PQisBusy(connection_.get()) == 1) {
    if (const auto ready = wait_for(POLLIN, until); !ready) return tl::unexpected(ready.error());
    if (PQconsumeInput(connection_.get()) != 1) return lost("waiting for an answer");
  }
  return PQgetResult(connection_.get());
}

DatabaseResult<Rows> Connection::finish(Deadline until) {
  if (const auto sent = flush(until); !sent) return tl::unexpected(sent.error());
  std::optional<DatabaseError> first;
  Rows last(nullptr);
  for (;;) {
    const auto result = next_result(until);
    if (!result) return tl::unexpected(result.error());
    if (*result == nullptr) break;
    Rows rows(*result);
    const ExecStatusType status = PQresultStatus(*result);
    if (status == PGRES_FATAL_ERROR && !first) first = error_of(*result);
    last = std::move(rows);
    if (status == PGRES_COPY_IN) break;
  }
  if (PQstatus(connection_.get()) == CONNECTION_BAD) {
    DatabaseError error = lost("waiting for an answer").value();
    if (first) error = {first->sqlstate, first->message, true};
    return tl::unexpected(error);
  }
  if (first) return tl::unexpected(*first);
  return last;
}

tl::unexpected<DatabaseError> Connection::lost(std::string_view doing) const {
  std::string message = trimmed(PQerrorMessage(connection_.get()));
  if (message.empty()) message = "the connection is lost";
  return tl::unexpected(DatabaseError{"", std::string(doing) + ": " + message, true});
}

tl::unexpected<DatabaseError> Connection::refused(bool at_once) const {
  Verbose said(PQerrorMessage(connection_.get()));
  // libpq itself ends a connection whose server wants a password that is not there.
  if (said.sqlstate.empty() && PQconnectionNeedsPassword(connection_.get()) == 1) said.sqlstate = "28P01";
  // Only a ping tells an address that cannot be read from a socket that nobody listens at. Neither takes time.
  if (at_once && said.sqlstate.empty() && PQping(options_.database.c_str()) == PQPING_NO_ATTEMPT) {
    said.sqlstate = wrong_address;
  }
  return tl::unexpected(DatabaseError{said.sqlstate, trimmed(said.message.c_str()), true});
}

Connection::Deadline Connection::deadline() const {
  return system_clock().monotonic() + options_.timeout;
}

}  // namespace millrace::delayed::postgres
