// A PostgreSQL server with a folder of its own, for tests and benchmarks: reachable by a Unix socket alone, and gone
// with whoever made it.
#pragma once

#include <optional>
#include <string>

#include "bus/base/temporary_folder.hpp"
#include "bus/daemon/test/processes.hpp"
#include "subscribers/delayed/postgres/connection.hpp"

namespace millrace::delayed::postgres::testing {

// The folder of initdb, postgres and psql; empty if the server is not installed (see tools/setup).
[[nodiscard]] std::string server_programs();

class Cluster {
 public:
  // Where initdb is. `durable`: with fsync, for benchmarks; a kill of processes loses nothing without.
  explicit Cluster(bool durable = false);
  ~Cluster();

  void start();  // and waits until it answers
  // kill -9 of the server's first process: the others see it and end without another word.
  void kill();
  // Of the superuser "millrace"; databases of tests are new each time.
  [[nodiscard]] std::string uri(const std::string& database = "postgres", const std::string& user = "millrace") const;
  // Makes a database of that name; its URI.
  std::string database(const std::string& name);
  [[nodiscard]] const std::string& folder() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  bool durable_;
  std::optional<millrace::testing::Process> server_;
};

// A connection, and what a statement gives, in tests: a failure ends the program with what the server said.
[[nodiscard]] Connection connect(const std::string& uri);
Rows query(Connection& connection, const std::string& sql);
// Rows by newlines, columns by '|'.
[[nodiscard]] std::string text_of(Connection& connection, const std::string& sql);

}  // namespace millrace::delayed::postgres::testing
