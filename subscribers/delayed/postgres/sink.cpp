#include "subscribers/delayed/postgres/sink.hpp"

#include <algorithm>
#include <utility>

#include "bus/base/log.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds retry_bus_after = 1s;
// Taken the consumer's name from so often within a minute, somebody else wants it for good.
constexpr int fenced_most = 5;

std::string milliseconds(std::chrono::nanoseconds time) {
  return "'" + std::to_string(std::max<std::int64_t>(time / 1ms, 1)) + "ms'";
}

bool passes(ErrorCode code) {
  return code == ErrorCode::timed_out || code == ErrorCode::disconnected || code == ErrorCode::exhausted ||
         code == ErrorCode::not_ready;
}

Error cannot_go_on(const std::string& topic, const std::string& sink, const Error& why) {
  std::string what = "topic " + topic + ": cannot go on where the database is: " + why.message;
  if (why.code == ErrorCode::invalid_argument || why.code == ErrorCode::rolled_back) {
    what += "; to begin a log anew, move the topic's rows away and delete its row in sink_checkpoints";
  } else if (why.code == ErrorCode::deleted || why.code == ErrorCode::overrun) {
    what += "; to go on with a hole, set next_offset in sink_checkpoints to the first offset there is";
  } else if (why.code == ErrorCode::in_use) {
    what += "; is another sink named '" + sink + "' at work on another database?";
  }
  return {why.code, what};
}

}  // namespace

DatabaseResult<Connection> open_session(const SinkOptions& options, std::function<void()> while_waiting) {
  auto connection = Connection::open({options.database, options.timeout, std::move(while_waiting)});
  if (!connection) return connection;
  // A process that is stopped within a transaction, or a lock that somebody else holds, keep nobody for long.
  const auto set = connection->run(
      "SET client_encoding TO 'UTF8'; SET datestyle TO 'ISO'; SET lock_timeout TO '5s'; "
      "SET idle_in_transaction_session_timeout TO " +
      milliseconds(options.lease) + "; SET statement_timeout TO " + milliseconds(options.timeout));
  if (!set) return tl::unexpected(set.error());
  return connection;
}

Result<std::unique_ptr<Sink>> Sink::open(Bus& bus, SinkOptions options) {
  std::unique_ptr<Sink> sink(new Sink(bus, std::move(options)));
  for (const std::string& name : sink->options_.topics) {
    const auto topic = bus.topic(name);
    if (!topic) return fail(topic.error());
    const Tables* const tables = tables_of(*topic->type);
    if (tables == nullptr) {
      return fail(ErrorCode::unsupported, "topic " + name + " is of the family '" + std::string(topic->type->name()) +
                                              "', which has no tables; the sink takes " + known_families());
    }
    sink->topics_.emplace_back(name, topic->type, tables);
  }
  return sink;
}

std::uint64_t Sink::do_work(MonotonicTime now) {
  keep_alive();
  if (error_ || !breaker_.allows(now)) return 0;
  if (connection_ == nullptr && !connect()) return 0;
  const std::uint64_t work = token_ ? lead(now) : stand_by(now);
  if (connection_ != nullptr && breaker_.state() == BreakerState::closed && now >= status_due_) tell(now);
  return work;
}

// The core sees that this process lives, whatever the database does; and, by its position, how far behind it is.
void Sink::keep_alive() {
  const MonotonicTime now = system_clock().monotonic();
  for (Topic& topic : topics_) {
    if (topic.batcher) (void)topic.batcher->poll(now);
  }
}

void Sink::while_waiting() {
  keep_alive();
  const MonotonicTime now = system_clock().monotonic();
  if (writing_ && now >= lease_due_) beat(now);
}

// A batch may take longer than the lease; its connection is busy with it. Who leads is found out by the batch itself,
// so that here nothing follows from a failure but another try.
void Sink::beat(MonotonicTime now) {
  lease_due_ = now + options_.lease / 3;
  if (!heart_) {
    SinkOptions brief = options_;
    brief.timeout = std::min(options_.timeout, options_.lease / 3);
    auto opened = open_session(brief, [this] { keep_alive(); });
    if (opened && mark(*opened, lease())) heart_ = std::move(*opened);
  }
  if (!heart_) return;
  if (const auto renewed = renew(*heart_, lease()); !renewed && renewed.error().lost) heart_.reset();
}

bool Sink::connect() {
  for (Topic& topic : topics_) topic.writer.reset();
  auto connection = open_session(options_, [this] { while_waiting(); });
  if (!connection) return failed(connection.error(), "connecting"), false;
  if (!migrated_) {
    const auto applied = migrate(*connection, embedded_migrations());
    if (!applied) return failed(applied.error(), true), false;
    if (*applied > 0) log().info("sink {}: applied {} migrations", options_.name, *applied);
    migrated_ = true;
  }
  connection_ = std::make_unique<Connection>(std::move(*connection));
  lease_due_ = {};  // so that it is seen at once whether this one still leads
  if (!token_) return true;
  if (const auto marked = mark(*connection_, lease()); !marked) {
    failed(marked.error(), "connecting");
    connection_.reset();
    return false;
  }
  log().info("sink {}: the database is there again", options_.name);
  return true;
}

std::uint64_t Sink::stand_by(MonotonicTime now) {
  if (now < lease_due_) return 0;
  lease_due_ = now + options_.lease / 3;
  const auto token = elect(*connection_, options_.name, options_.holder, options_.lease);
  if (!token) return failed(token.error(), "standing for leader"), 0;
  succeeded();
  begun_ = begun_ || !*token;
  if (!*token) return 0;
  token_ = **token;
  status_due_ = now;
  log().info("sink {}: {} leads with token {}", options_.name, options_.holder, *token_);
  return 1;
}

std::uint64_t Sink::lead(MonotonicTime now) {
  std::uint64_t work = 0;
  const auto stands = [&] {
    return error_ || !token_ || connection_ == nullptr || breaker_.state() == BreakerState::open;
  };
  renew_if_due(now);  // first, so that no topic's trouble costs the lease
  if (stands()) return work;
  for (auto it = topics_.begin(); it != topics_.end(); ++it) {
    Topic& topic = *it;
    if (!topic.batcher) follow(topic, now);
    if (const Batch* const batch = topic.batcher ? topic.batcher->poll(now) : nullptr) {
      write(topic, *batch, now);
      ++work;
    } else if (topic.batcher && topic.batcher->error()) {
      const Error why = *topic.batcher->error();
      topic.batcher.reset();
      refused_by_the_bus(topic, why, now);
    }
    if (stands()) {
      // The others first next time: a table that does not take its rows keeps only its own topic waiting.
      topics_.splice(topics_.end(), topics_, it);
      return work;
    }
  }
  return work;
}

// Subscribes where the database says that the topic's tables end.
void Sink::follow(Topic& topic, MonotonicTime now) {
  if (now < topic.retry) return;
  const auto from = position_of(topic);
  if (error_) return;
  if (!from) return failed(from.error(), "reading the checkpoint of " + topic.name);
  auto subscriber = subscribe(topic, *from);
  if (!subscriber) return refused_by_the_bus(topic, subscriber.error(), now);
  const Position begin = subscriber->follower()->position();
  if (!*from) {
    if (const auto made = create_checkpoint(*connection_, topic.name, begin, lease()); !made) {
      if (made.error().sqlstate == not_the_leader) return step_down(made.error().message);
      return failed(made.error(), "writing the first checkpoint of " + topic.name);
    }
  }
  topic.log_id = begin.log_id;
  topic.committed = begin.offset;
  topic.newest = system_clock().wall();
  topic.batcher.emplace(std::move(*subscriber), topic.name, options_.limits);
  log().info("sink {}: topic {} from offset {}", options_.name, topic.name, begin.offset.value());
}

// nullopt: the database has nothing of the topic.
DatabaseResult<std::optional<Position>> Sink::position_of(const Topic& topic) {
  const auto checkpoint = read_checkpoint(*connection_, topic.name);
  if (!checkpoint) return tl::unexpected(checkpoint.error());
  if (*checkpoint && (*checkpoint)->sink != options_.name) {
    stop_with({ErrorCode::in_use, "topic " + topic.name + " of this database belongs to the sink '" +
                                      (*checkpoint)->sink + "': give --name " + (*checkpoint)->sink +
                                      ", or leave the topic out"});
    return std::nullopt;
  }
  if (*checkpoint) return (*checkpoint)->position;
  const auto rows = connection_->run("SELECT EXISTS (SELECT FROM " + std::string(topic.tables->rows_table) +
                                     " WHERE topic = " + connection_->quoted(topic.name) + ")");
  if (!rows) return tl::unexpected(rows.error());
  if (rows->text(0, 0) == "t") {
    stop_with({ErrorCode::invalid_argument, "table " + std::string(topic.tables->rows_table) + " has rows of topic " +
                                                topic.name +
                                                ", but sink_checkpoints does not say how far they go: move them away, "
                                                "or put the checkpoint back"});
  }
  return std::nullopt;
}

// A name that the core knows from another database begins like a new one, which is not found: where that database is,
// this one would have a hole. Who may not manage the topic may still have a name that begins no later than the log.
Status Sink::begin_anew(const Topic& topic) {
  Status reset = bus_.reset_consumer(topic.name, options_.name, options_.start);
  if (reset || reset.error().code == ErrorCode::not_found) return {};
  if (reset.error().code != ErrorCode::not_permitted) return reset;
  const auto status = bus_.status();
  if (!status) return fail(status.error());
  for (const auto& one : status->topics) {
    if (one->name != topic.name) continue;
    for (const auto& consumer : one->consumers) {
      if (consumer->name == options_.name && consumer->acked > one->first_offset) return reset;
    }
  }
  return {};
}

// The core's checkpoint gives way to the database's.
Result<Subscriber> Sink::subscribe(const Topic& topic, const std::optional<Position>& from) {
  SubscribeOptions options{.level = Level::synced,
                           .start = from ? Start(*from) : options_.start,
                           .on_gap = {},
                           .consumer = options_.name,
                           .take_over = true};
  if (!from) MILLRACE_TRY(begin_anew(topic));
  auto subscriber = bus_.subscribe(topic.name, options);
  // The core's checkpoint may lie before the first event there is; then the database's may still lie behind.
  const bool elsewhere = subscriber ? from && subscriber->follower()->position().offset != from->offset
                                    : from && (subscriber.error().code == ErrorCode::overrun ||
                                               subscriber.error().code == ErrorCode::deleted);
  if (!elsewhere) return subscriber;
  if (subscriber) {
    log().info("sink {}: topic {}: the database is at offset {}, the core's consumer at {}; the database counts",
               options_.name, topic.name, from->offset.value(), subscriber->follower()->position().offset.value());
  }
  MILLRACE_TRY(bus_.reset_consumer(topic.name, options_.name, *from));
  return bus_.subscribe(topic.name, options);
}

void Sink::refused_by_the_bus(Topic& topic, const Error& error, MonotonicTime now) {
  if (error.code == ErrorCode::fenced) {
    // Reset by a person, or taken by another leader: then the token is stale too, which the next statement tells.
    if (now - topic.fenced_since > 60s) topic.fenced = 0, topic.fenced_since = now;
    if (++topic.fenced > fenced_most) {
      return stop_with(cannot_go_on(
          topic.name, options_.name,
          {ErrorCode::in_use, "the consumer '" + options_.name + "' of the core is taken away again and again"}));
    }
    lease_due_ = now;
    return renew_if_due(now);
  }
  if (!passes(error.code)) return stop_with(cannot_go_on(topic.name, options_.name, error));
  log().warn("sink {}: topic {}: {}; trying again", options_.name, topic.name, error.message);
  topic.retry = now + retry_bus_after;
}

void Sink::write(Topic& topic, const Batch& batch, MonotonicTime now) {
  if (!topic.writer) topic.writer.emplace(*connection_, *topic.tables, *topic.type, topic.name);
  const Run run = topic.batcher->follower().position().run;
  writing_ = true;
  const auto written = topic.writer->write(batch, topic.log_id, run, lease());
  writing_ = false;
  if (!written) {
    const DatabaseError& error = written.error();
    if (error.sqlstate == not_the_leader) return step_down(error.message);
    if (error.sqlstate == checkpoint_elsewhere) {
      // Its transaction was committed though its answer was lost, or a person moved the checkpoint.
      log().info("sink {}: {}; reading it again", options_.name, error.message);
      return topic.batcher.reset();
    }
    return failed(error, "writing offsets " + std::to_string(batch.first.value()) + " to " +
                             std::to_string(batch.end.value()) + " of " + topic.name);
  }
  begun_ = true;
  rows_ += written->rows;
  dead_ += written->dead;
  topic.committed = batch.end;
  topic.newest = batch.newest;
  lease_due_ = now + options_.lease / 3;
  succeeded();
  if (written->dead > 0) {
    log().warn("sink {}: {} of offsets {} to {} of {} went to dead_letters", options_.name, written->dead,
               batch.first.value(), batch.end.value(), topic.name);
  }
  if (const auto acked = topic.batcher->ack(); !acked) {
    topic.batcher.reset();
    refused_by_the_bus(topic, acked.error(), now);
  }
}

void Sink::renew_if_due(MonotonicTime now) {
  if (now < lease_due_ || connection_ == nullptr) return;
  const auto renewed = renew(*connection_, lease());
  if (!renewed) return failed(renewed.error(), "renewing the lease");
  lease_due_ = now + options_.lease / 3;
  succeeded();
  if (!*renewed) step_down("the token is not the newest");
}

void Sink::step_down(std::string_view why) {
  log().warn("sink {}: {} leads no more: {}", options_.name, options_.holder, why);
  token_.reset();
  heart_.reset();
  for (Topic& topic : topics_) topic.batcher.reset();
}

void Sink::failed(const Error& why, bool lost) {
  if (lost) connection_.reset();
  if (!begun_ && !passes(why.code)) return stop_with(why);
  const bool was_closed = breaker_.state() == BreakerState::closed;
  const MonotonicTime now = system_clock().monotonic();
  breaker_.failed(now);
  last_error_ = why.message;
  if (was_closed) {
    log().warn("sink {}: breaker open, the database is tried again until it answers: {}", options_.name, last_error_);
  }
  log().debug("sink {}: {}; again in {} ms", options_.name, last_error_, (breaker_.due() - now) / 1ms);
}

void Sink::succeeded() {
  if (breaker_.state() != BreakerState::closed) log().info("sink {}: breaker closed", options_.name);
  breaker_.succeeded();
}

void Sink::stop_with(Error error) {
  error_ = std::move(error);
}

std::uint64_t Sink::lag_events() const {
  std::uint64_t lag = 0;
  for (const Topic& topic : topics_) {
    if (!topic.batcher) continue;
    const Offset end = topic.batcher->follower().freshness().synced_end;
    lag += end - std::min(end, topic.committed);
  }
  return lag;
}

// The age of what the tables end with, of the topic that is furthest behind; 0 where nothing is missing.
double Sink::lag_seconds() const {
  double longest = 0;
  const WallTime now = system_clock().wall();
  for (const Topic& topic : topics_) {
    if (!topic.batcher || topic.batcher->follower().freshness().synced_end <= topic.committed) continue;
    longest = std::max(longest, std::chrono::duration<double>(now - topic.newest).count());
  }
  return longest;
}

void Sink::tell(MonotonicTime now) {
  status_due_ = now + options_.status_every;
  const char* const role = token_ ? "leader" : "standby";
  log().debug("sink {}: role {} breaker {} lag_events {} lag_seconds {:.3f} rows {} dead_letters {}", options_.name,
              role, to_string(breaker_.state()), lag_events(), lag_seconds(), rows_, dead_);
  const auto told = connection_->run(
      "INSERT INTO sink_status (sink, holder, role, breaker, breaker_opened, lag_events, lag_seconds, rows_written, "
      "dead_letters, last_error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (sink, holder) DO UPDATE "
      "SET role = excluded.role, breaker = excluded.breaker, breaker_opened = excluded.breaker_opened, "
      "lag_events = excluded.lag_events, lag_seconds = excluded.lag_seconds, rows_written = excluded.rows_written, "
      "dead_letters = excluded.dead_letters, last_error = excluded.last_error, updated = clock_timestamp()",
      {options_.name, options_.holder, role, std::string(to_string(breaker_.state())),
       std::to_string(breaker_.opened()), std::to_string(lag_events()), std::to_string(lag_seconds()),
       std::to_string(rows_), std::to_string(dead_), last_error_});
  if (!told) failed(told.error(), "writing sink_status");
}

void Sink::stop() {
  if (connection_ == nullptr) return;
  if (token_) (void)release(*connection_, lease());
  token_.reset();
  for (Topic& topic : topics_) topic.batcher.reset();
  (void)connection_->run(
      "DELETE FROM sink_status WHERE sink = $1 AND (holder = $2 OR updated < clock_timestamp() - "
      "interval '1 day')",
      {options_.name, options_.holder});
}

}  // namespace millrace::delayed::postgres
