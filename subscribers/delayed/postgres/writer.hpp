// Brings one topic's batches into its tables, each in one transaction: the rows by COPY into a temporary table, from
// there in one statement into each target table, and the checkpoint. Rows that the database refuses go to dead_letters
// in the same transaction.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "subscribers/delayed/batcher.hpp"
#include "subscribers/delayed/postgres/connection.hpp"
#include "subscribers/delayed/postgres/copy_rows.hpp"
#include "subscribers/delayed/postgres/leadership.hpp"
#include "subscribers/delayed/postgres/tables.hpp"

namespace millrace::delayed::postgres {

// One thread; of one connection.
class Writer {
 public:
  // All outlive the writer.
  Writer(Connection& connection, const Tables& tables, const schemas::EventType& type, std::string topic)
      : connection_(&connection), tables_(&tables), type_(&type), topic_(std::move(topic)) {}

  struct Written {
    std::uint64_t rows = 0;
    std::uint64_t dead = 0;
  };
  // All of the batch, or nothing. `log_id`, `run`: of the log that it comes from. Errors: not_the_leader,
  // checkpoint_elsewhere, and whatever the database says that is not of a row; one with `lost` may have been committed,
  // which the checkpoint tells.
  [[nodiscard]] DatabaseResult<Written> write(const Batch& batch, const LogId& log_id, Run run, const Lease& lease);

 private:
  using Events = std::span<const Event>;

  [[nodiscard]] DatabaseResult<void> prepare();
  [[nodiscard]] DatabaseResult<void> write_whole(const Batch& batch, const std::string& advance);
  [[nodiscard]] DatabaseResult<Written> write_sifted(const Batch& batch, const std::string& advance);
  // Halves what is refused until it stands alone: at most 2n - 1 tries, about 2k log2(n) for k bad rows of n.
  [[nodiscard]] DatabaseResult<void> sift(Events events, Written& written);
  [[nodiscard]] DatabaseResult<void> try_part(Events events);
  [[nodiscard]] DatabaseResult<void> bury(const Event& event, const DatabaseError& why);
  // Events that failed their verifier, so that the batch lacks them.
  [[nodiscard]] DatabaseResult<void> bury_missing(const Batch& batch, Written& written);
  [[nodiscard]] std::span<const std::byte> encode(Events events);
  [[nodiscard]] std::string copy_statement() const;
  // The statements from the temporary table into the targets. `skip`: what they say of rows that are there already,
  // which only a checkpoint that somebody moved back brings about.
  [[nodiscard]] std::string inserts(std::string_view skip) const;
  // An error that leaves the connection as it was, unless it is lost.
  [[nodiscard]] tl::unexpected<DatabaseError> roll_back(DatabaseError error);

  Connection* connection_;
  const Tables* tables_;
  const schemas::EventType* type_;
  std::string topic_;
  CopyRows rows_;
  bool prepared_ = false;
};

}  // namespace millrace::delayed::postgres
