// Where a matching process takes its commands from.
#pragma once

#include <optional>

#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "publishers/matching/order.hpp"
#include "schemas/families.hpp"

namespace millrace::matching {

struct SourcedOrder {
  const schemas::OrderCommand* command;  // verified; valid until the next call
  Input input;
  std::optional<Offset> cause;  // its offset, if it came from a topic
};

class OrderSource {
 public:
  virtual ~OrderSource() = default;
  // The next command in order, or nullopt if there is none now.
  [[nodiscard]] virtual std::optional<SourcedOrder> next() = 0;
  // Why there will be none any more, if something is wrong.
  [[nodiscard]] virtual std::optional<Error> error() const { return std::nullopt; }
  // All commands that are safe on the disk have been given.
  [[nodiscard]] virtual bool at_end() const { return false; }
  // Tells that the reader lives though it reads nothing just now.
  virtual void idle() {}
};

}  // namespace millrace::matching
