// Shanghai level 2 as text: one record a line, "//KEY=value KEY=value ...".
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "bus/base/result.hpp"
#include "publishers/market/events.hpp"
#include "publishers/market/line_source.hpp"

namespace millrace::market {

inline constexpr Scale kSseScale{3, 3};

// The exchange's count over orders and trades of a channel: the true order of what happened.
using BizIndex = Ordinal<struct BizIndexTag>;

// Wall-clock time of a day in Shanghai, since its midnight.
struct TimeOfDay {
  std::int64_t ns = 0;
  auto operator<=>(const TimeOfDay&) const = default;
};
[[nodiscard]] constexpr TimeOfDay time_of_day(int hour, int minute, int second) {
  return {((hour * 60 + minute) * 60 + second) * std::int64_t{1'000'000'000}};
}

struct SseOrder {
  enum class Action : std::uint8_t { add, cancel };
  BizIndex index;
  TimeOfDay time;
  Action action = Action::add;
  matching::OrderId order;
  Side side = Side::buy;
  Price price;
  Quantity quantity;
};

struct SseTrade {
  BizIndex index;
  TimeOfDay time;
  matching::OrderId buy_order;
  matching::OrderId sell_order;
  Price price;
  Quantity quantity;
  Aggressor aggressor = Aggressor::none;

  [[nodiscard]] matching::OrderId taker() const { return aggressor == Aggressor::buy ? buy_order : sell_order; }
};

struct SseSnapshot {
  TimeOfDay time;
  std::uint64_t trades = 0;  // since the morning
  Quantity volume;
  int phase = 0;  // 0 before opening, 1 opening auction, 2 continuous, 4 closing auction, 5 closed
  Price previous_close;
  TenLevels levels;
};

using SseRecord = std::variant<SseOrder, SseTrade, SseSnapshot>;

class SseReader {
 public:
  [[nodiscard]] static Result<SseReader> open(std::string path);
  // In the order of the file, which is not the order of events. Errors name file and line.
  [[nodiscard]] Result<std::optional<SseRecord>> next();

 private:
  explicit SseReader(LineSource lines) : lines_(std::move(lines)) {}
  LineSource lines_;
};

}  // namespace millrace::market
