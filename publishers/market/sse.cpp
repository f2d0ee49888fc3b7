#include "publishers/market/sse.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "publishers/market/decimal.hpp"

namespace millrace::market {
namespace {

// The fields of one line; remembers the first thing that was wrong.
class Fields {
 public:
  explicit Fields(std::string_view line) {
    if (!line.starts_with("//")) problem("the line does not begin with //");
    line.remove_prefix(std::min<std::size_t>(2, line.size()));
    while (!line.empty()) {
      const auto space = line.find(' ');
      const auto word = line.substr(0, space);
      const auto equals = word.find('=');
      if (equals != std::string_view::npos) fields_.emplace_back(word.substr(0, equals), word.substr(equals + 1));
      line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
    }
  }

  std::int64_t number(std::string_view key) {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      // Keys are asked for about in the order in which they stand.
      const auto& [name, text] = fields_[(next_ + i) % fields_.size()];
      if (name != key) continue;
      next_ += i + 1;
      const auto value = parse_integer(text);
      if (!value) problem(std::string(key) + ": " + value.error().message);
      if (value && *value < 0) problem(std::string(key) + " is negative");
      return value.value_or(0);
    }
    problem(std::string(key) + " is missing");
    return 0;
  }
  std::uint64_t count(std::string_view key) { return static_cast<std::uint64_t>(number(key)); }

  // HHMMSS followed by `decimals` digits of a second.
  TimeOfDay time(std::string_view key, unsigned decimals) {
    std::int64_t value = number(key);
    std::int64_t unit = 1'000'000'000;
    std::int64_t per_second = 1;
    for (unsigned i = 0; i < decimals; ++i) per_second *= 10;
    const std::int64_t fraction = value % per_second * (unit / per_second);
    value /= per_second;
    const int second = static_cast<int>(value % 100);
    const int minute = static_cast<int>(value / 100 % 100);
    const std::int64_t hour = value / 10'000;
    if (hour > 23 || minute > 59 || second > 59) {
      problem(std::string(key) + " is no time of a day");
      return {};
    }
    return {time_of_day(static_cast<int>(hour), minute, second).ns + fraction};
  }

  template <class T>
  T one_of(std::string_view key, std::initializer_list<std::pair<char, T>> choices) {
    const auto value = number(key);
    for (const auto& [code, choice] : choices) {
      if (value == code) return choice;
    }
    problem(std::string(key) + " has the unknown value " + std::to_string(value));
    return choices.begin()->second;
  }

  void problem(std::string what) {
    if (problem_.empty()) problem_ = std::move(what);
  }
  [[nodiscard]] const std::string& first_problem() const { return problem_; }

 private:
  std::vector<std::pair<std::string_view, std::string_view>> fields_;
  std::size_t next_ = 0;
  std::string problem_;
};

SseOrder order(Fields& fields) {
  SseOrder order;
  order.order = matching::OrderId(fields.count("OrderNo"));
  order.price = {fields.number("Price")};
  order.quantity = {fields.number("OrderQty")};
  order.action =
      fields.one_of<SseOrder::Action>("OrdType", {{'A', SseOrder::Action::add}, {'D', SseOrder::Action::cancel}});
  order.side = fields.one_of<Side>("Side", {{'B', Side::buy}, {'S', Side::sell}});
  order.time = fields.time("TransactTime", 2);
  order.index = BizIndex(fields.count("BizIndex"));
  return order;
}

SseTrade trade(Fields& fields) {
  SseTrade trade;
  trade.buy_order = matching::OrderId(fields.count("BidApplSeqNum"));
  trade.sell_order = matching::OrderId(fields.count("OfferApplSeqNum"));
  trade.price = {fields.number("LastPx")};
  trade.quantity = {fields.number("LastQty")};
  trade.aggressor =
      fields.one_of<Aggressor>("ExecType", {{'B', Aggressor::buy}, {'S', Aggressor::sell}, {'N', Aggressor::none}});
  trade.time = fields.time("TransactTime", 2);
  trade.index = BizIndex(fields.count("BizIndex"));
  return trade;
}

SseSnapshot snapshot(Fields& fields) {
  SseSnapshot snapshot;
  snapshot.phase = static_cast<int>(fields.number("TradingPhase"));
  snapshot.trades = fields.count("NumTrades");
  snapshot.volume = {fields.number("TotalVolumeTrade")};
  snapshot.previous_close = {fields.number("PrevClosePx")};
  snapshot.time = fields.time("DataTimeStamp", 0);
  for (auto [name, side] : {std::pair{"Bid", &snapshot.levels.bids}, std::pair{"Ask", &snapshot.levels.asks}}) {
    for (std::size_t i = 0; i < TenLevels::count; ++i) {
      const std::string level = std::string(name) + "Level[" + std::to_string(i) + "].";
      (*side)[i] = {{fields.number(level + "Price")}, {fields.number(level + "Qty")}};
    }
  }
  return snapshot;
}

}  // namespace

Result<SseReader> SseReader::open(std::string path) {
  auto lines = LineSource::open(std::move(path));
  if (!lines) return fail(std::move(lines).error());
  return SseReader(*std::move(lines));
}

Result<std::optional<SseRecord>> SseReader::next() {
  const auto line = lines_.next();
  if (!line) return fail(line.error());
  if (!*line) return std::nullopt;
  Fields fields(**line);
  SseRecord record;
  switch (const auto type = fields.number("MsgType")) {
    case 192:
      record = order(fields);
      break;
    case 191:
      record = trade(fields);
      break;
    case 111:
      record = snapshot(fields);
      break;
    default:
      fields.problem("MsgType " + std::to_string(type) + " is not 192 (order), 191 (trade) or 111 (snapshot)");
  }
  if (!fields.first_problem().empty()) return lines_.error(ErrorCode::invalid_argument, fields.first_problem());
  return record;
}

}  // namespace millrace::market
