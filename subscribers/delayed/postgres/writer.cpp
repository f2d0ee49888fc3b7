#include "subscribers/delayed/postgres/writer.hpp"

#include <utility>

namespace millrace::delayed::postgres {
namespace {

// Deferred constraints too are to be judged where the rows are.
constexpr const char* begin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET CONSTRAINTS ALL IMMEDIATE; ";

std::string hex(std::span<const std::byte> bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text = "\\x";
  text.reserve(2 + 2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

}  // namespace

DatabaseResult<Writer::Written> Writer::write(const Batch& batch, const LogId& log_id, Run run, const Lease& lease) {
  if (const auto ready = prepare(); !ready) return tl::unexpected(ready.error());
  const std::string advance = "SELECT sink_advance(" + connection_->quoted(lease.sink) + ", " +
                              std::to_string(lease.token) + ", '" + interval_of(lease.length) + "', " +
                              connection_->quoted(topic_) + ", '" + to_hex(log_id.bytes) + "', " +
                              std::to_string(run.value()) + ", " + std::to_string(batch.first.value()) + ", " +
                              std::to_string(batch.end.value()) + "); ";
  if (batch.events.size() == batch.end - batch.first) {
    const auto whole = write_whole(batch, advance);
    if (whole) return Written{batch.events.size(), 0};
    if (whole.error().lost || !whole.error().of_a_row()) return tl::unexpected(whole.error());
  }
  return write_sifted(batch, advance);
}

DatabaseResult<void> Writer::prepare() {
  if (prepared_) return {};
  const auto made = connection_->run("CREATE TEMPORARY TABLE IF NOT EXISTS " + std::string(tables_->stage) + " (" +
                                     std::string(tables_->columns) + ") ON COMMIT DELETE ROWS");
  if (!made) return tl::unexpected(made.error());
  prepared_ = true;
  return {};
}

// Two round trips. Nothing but the temporary table is touched by the first, so that a process that is stopped in it
// keeps nobody waiting; the second is one message, which the server does whole or not at all. The leader's row is
// locked last: until then another connection renews the lease.
DatabaseResult<void> Writer::write_whole(const Batch& batch, const std::string& advance) {
  const auto copied = connection_->copy(begin + copy_statement(), encode(batch.events));
  if (!copied) return roll_back(copied.error());
  const auto done = connection_->run(inserts("") + advance + "COMMIT");
  if (!done) return roll_back(done.error());
  return {};
}

DatabaseResult<Writer::Written> Writer::write_sifted(const Batch& batch, const std::string& advance) {
  Written written;
  if (const auto begun = connection_->run(begin); !begun) return roll_back(begun.error());
  if (const auto buried = bury_missing(batch, written); !buried) return roll_back(buried.error());
  if (!batch.events.empty()) {
    if (const auto sifted = sift(batch.events, written); !sifted) return roll_back(sifted.error());
  }
  if (const auto done = connection_->run(advance + "COMMIT"); !done) return roll_back(done.error());
  return written;
}

DatabaseResult<void> Writer::sift(Events events, Written& written) {
  const auto taken = try_part(events);
  if (taken) {
    written.rows += events.size();
    return {};
  }
  if (taken.error().lost || !taken.error().of_a_row()) return taken;
  const auto undone = connection_->run("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part");
  if (!undone) return tl::unexpected(undone.error());
  if (events.size() == 1) {
    ++written.dead;
    return bury(events.front(), taken.error());
  }
  const std::size_t half = events.size() / 2;
  if (const auto front = sift(events.first(half), written); !front) return front;
  return sift(events.subspan(half), written);
}

DatabaseResult<void> Writer::try_part(Events events) {
  const auto copied = connection_->copy("SAVEPOINT part; " + copy_statement(), encode(events));
  if (!copied) return copied;
  const auto done =
      connection_->run(inserts(skip_existing) + "RELEASE SAVEPOINT part; TRUNCATE " + std::string(tables_->stage));
  if (!done) return tl::unexpected(done.error());
  return {};
}

DatabaseResult<void> Writer::bury(const Event& event, const DatabaseError& why) {
  const auto json = type_->to_json(event.payload());
  std::optional<std::string> text;
  if (json) text = *json;
  const auto insert = [&] {
    return connection_->run(
        "INSERT INTO dead_letters (topic, log_offset, event_type, sqlstate, reason, payload, event) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (topic, log_offset) DO NOTHING",
        {topic_, std::to_string(event.offset->value()), std::to_string(static_cast<int>(event.frame.event_type())),
         why.sqlstate, why.message, hex(event.payload()), text});
  };
  if (const auto set = connection_->run("SAVEPOINT letter"); !set) return tl::unexpected(set.error());
  auto done = insert();
  if (!done && !done.error().lost && done.error().of_a_row() && text) {
    // JSON that PostgreSQL does not take.
    if (const auto undone = connection_->run("ROLLBACK TO SAVEPOINT letter"); !undone) {
      return tl::unexpected(undone.error());
    }
    text.reset();
    done = insert();
  }
  if (!done) return tl::unexpected(done.error());
  // Each that lives on has a lock in the server's memory, which has room for some thousands.
  if (const auto released = connection_->run("RELEASE SAVEPOINT letter"); !released) {
    return tl::unexpected(released.error());
  }
  return {};
}

DatabaseResult<void> Writer::bury_missing(const Batch& batch, Written& written) {
  auto next = batch.events.begin();
  for (Offset offset = batch.first; offset < batch.end; ++offset) {
    if (next != batch.events.end() && next->offset == offset) {
      ++next;
      continue;
    }
    ++written.dead;
    const auto done = connection_->run(
        "INSERT INTO dead_letters (topic, log_offset, event_type, sqlstate, reason, payload) "
        "VALUES ($1, $2, $3, 'MR003', 'the bytes are no event of the topic''s type; the log has them', '') "
        "ON CONFLICT (topic, log_offset) DO NOTHING",
        {topic_, std::to_string(offset.value()), std::to_string(static_cast<int>(type_->id()))});
    if (!done) return tl::unexpected(done.error());
  }
  return {};
}

std::span<const std::byte> Writer::encode(Events events) {
  rows_.clear();
  for (const Event& event : events) tables_->encode(event, rows_);
  return rows_.finish();
}

std::string Writer::copy_statement() const {
  return "COPY " + std::string(tables_->stage) + " FROM STDIN (FORMAT binary)";
}

std::string Writer::inserts(std::string_view skip) const {
  std::string all;
  for (const std::string_view statement : tables_->inserts) {
    std::string text(statement);
    const auto put = [&](std::string_view placeholder, std::string_view value) {
      const std::size_t at = text.find(placeholder);
      if (at != std::string::npos) text.replace(at, placeholder.size(), value);
    };
    put("$topic", connection_->quoted(topic_));
    put("$skip", skip);
    all += text + "; ";
  }
  return all;
}

tl::unexpected<DatabaseError> Writer::roll_back(DatabaseError error) {
  if (!error.lost) {
    const auto done = connection_->run("ROLLBACK");
    if (!done) error.lost = true;
  }
  return tl::unexpected(std::move(error));
}

}  // namespace millrace::delayed::postgres
