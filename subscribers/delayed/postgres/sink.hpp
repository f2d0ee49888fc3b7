// The PostgreSQL sink: one of several processes of a name leads, and brings its topics' batches into the tables; the
// others stand by. Where it is, the database says: the durable consumer of that name at the core follows, so that
// retention knows what is still wanted.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/bus.hpp"
#include "subscribers/delayed/batcher.hpp"
#include "subscribers/delayed/postgres/breaker.hpp"
#include "subscribers/delayed/postgres/connection.hpp"
#include "subscribers/delayed/postgres/leadership.hpp"
#include "subscribers/delayed/postgres/migrations.hpp"
#include "subscribers/delayed/postgres/writer.hpp"

namespace millrace::delayed::postgres {

struct SinkOptions {
  std::string database;  // see Connection::Options
  std::string name = "postgres";
  std::vector<std::string> topics;
  std::string holder;  // tells this process from others: "host:pid"
  BatchLimits limits;
  Start start = StartEarliest{};  // of a topic that the database has no checkpoint of
  std::chrono::nanoseconds lease = std::chrono::seconds(10);
  std::chrono::nanoseconds timeout = std::chrono::seconds(30);  // of each statement
  std::chrono::nanoseconds status_every = std::chrono::seconds(1);
  Breaker::Limits breaker;
};

// Opens a connection as the sink wants its session. Errors: those of Connection::open.
[[nodiscard]] DatabaseResult<Connection> open_session(const SinkOptions& options,
                                                      std::function<void()> while_waiting = {});

// One thread. What is away, be it the database or the core, is waited for, with nothing lost; only what a person must
// change is an error. What the database refuses is one up to the first batch, or turn as a standby; later it is waited
// for.
class Sink {
 public:
  // Connects and migrates in its rounds. Errors: not_found (topic), unsupported (a topic whose family has no tables).
  [[nodiscard]] static Result<std::unique_ptr<Sink>> open(Bus& bus, SinkOptions options);

  // One round; batches written and turns of leadership.
  std::uint64_t do_work(MonotonicTime now);
  // Why it stands still, if it does.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  // Gives the leadership up, so that another need not wait for the lease to run out.
  void stop();

 private:
  struct Topic {
    Topic(std::string its_name, const schemas::EventType* its_type, const Tables* its_tables)
        : name(std::move(its_name)), type(its_type), tables(its_tables) {}

    std::string name;
    const schemas::EventType* type;
    const Tables* tables;
    std::optional<Batcher> batcher{};  // while leading
    std::optional<Writer> writer{};    // of the connection
    LogId log_id{};
    Offset committed{};     // in the database
    WallTime newest{};      // record time of the last that is, or when it was opened
    MonotonicTime retry{};  // not opened before
    MonotonicTime fenced_since{};
    int fenced = 0;  // times since then
  };

  Sink(Bus& bus, SinkOptions options) : bus_(bus), options_(std::move(options)), breaker_(options_.breaker) {}

  [[nodiscard]] Lease lease() const { return {options_.name, token_.value_or(0), options_.lease}; }
  void keep_alive();
  void while_waiting();
  void beat(MonotonicTime now);
  [[nodiscard]] bool connect();
  std::uint64_t stand_by(MonotonicTime now);
  std::uint64_t lead(MonotonicTime now);
  void follow(Topic& topic, MonotonicTime now);
  [[nodiscard]] DatabaseResult<std::optional<Position>> position_of(const Topic& topic);
  [[nodiscard]] Status begin_anew(const Topic& topic);
  [[nodiscard]] Result<Subscriber> subscribe(const Topic& topic, const std::optional<Position>& from);
  void refused_by_the_bus(Topic& topic, const Error& error, MonotonicTime now);
  void write(Topic& topic, const Batch& batch, MonotonicTime now);
  void renew_if_due(MonotonicTime now);
  void step_down(std::string_view why);
  void failed(const DatabaseError& error, std::string_view doing) { failed(explain(error, doing), error.lost); }
  void failed(const Error& why, bool lost);
  void succeeded();
  void stop_with(Error error);
  void tell(MonotonicTime now);
  [[nodiscard]] std::uint64_t lag_events() const;
  [[nodiscard]] double lag_seconds() const;

  Bus& bus_;
  SinkOptions options_;
  std::list<Topic> topics_;                 // where they stay: a batcher does not move
  std::unique_ptr<Connection> connection_;  // where it stays for its writers
  std::optional<Connection> heart_;         // renews the lease while a batch is written
  bool writing_ = false;
  bool migrated_ = false;
  bool begun_ = false;  // a batch was written, or another leads
  Breaker breaker_;
  std::optional<std::int64_t> token_;  // while leading
  MonotonicTime lease_due_;            // to be renewed, or tried for
  MonotonicTime status_due_;
  std::uint64_t rows_ = 0;
  std::uint64_t dead_ = 0;
  std::string last_error_;
  std::optional<Error> error_;
};

}  // namespace millrace::delayed::postgres
