// LOBSTER: a file of messages and a file with the book after each of them, row by row.
#pragma once

#include <optional>
#include <string>

#include "bus/base/result.hpp"
#include "publishers/market/events.hpp"
#include "publishers/market/line_source.hpp"

namespace millrace::market {

inline constexpr Scale kLobsterScale{4, 0};

struct LobsterMessage {
  enum class Type : std::uint8_t {
    add = 1,
    partial_cancel = 2,
    cancel = 3,
    visible_execution = 4,
    hidden_execution = 5,
    cross = 6,
    halt = 7,
  };
  std::int64_t ns_of_day = 0;  // exchange time
  Type type = Type::add;
  matching::OrderId order;
  Quantity size;
  Price price;
  Side side = Side::buy;  // of the resting order
};

// Errors name file and line.
class LobsterMessages {
 public:
  [[nodiscard]] static Result<LobsterMessages> open(std::string path);
  [[nodiscard]] Result<std::optional<LobsterMessage>> next();
  [[nodiscard]] const LineSource& lines() const { return lines_; }

 private:
  explicit LobsterMessages(LineSource lines) : lines_(std::move(lines)) {}
  LineSource lines_;
};

// One to ten levels a side.
class LobsterBooks {
 public:
  [[nodiscard]] static Result<LobsterBooks> open(std::string path);
  [[nodiscard]] Result<std::optional<TenLevels>> next();
  [[nodiscard]] const LineSource& lines() const { return lines_; }

 private:
  explicit LobsterBooks(LineSource lines) : lines_(std::move(lines)) {}
  LineSource lines_;
};

// Whether `message` turns the book `before` into exactly `after`. Where it takes away one of ten levels the tenth
// afterwards was not visible before, and may be any that is worse than the ninth.
[[nodiscard]] bool follows(const TenLevels& before, const LobsterMessage& message, const TenLevels& after);

}  // namespace millrace::market
