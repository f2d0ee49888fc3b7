// Trades from a publisher, flat out, through a core and a sink, each a process, into the table.
#pragma once

#include <cstdint>
#include <string>

#include "subscribers/delayed/postgres/testing/cluster.hpp"

namespace millrace::bench {

struct EndToEnd {
  double rows_a_second;       // from the first publish until the last row's checkpoint is committed
  double published_a_second;  // what the publisher did meanwhile
};
// In a database and a core of its own; ends the program where a row is missing or wrong. `batch`: rows of a
// transaction.
[[nodiscard]] EndToEnd end_to_end(delayed::postgres::testing::Cluster& cluster, const std::string& database,
                                  std::uint64_t rows, std::uint64_t batch);

}  // namespace millrace::bench
