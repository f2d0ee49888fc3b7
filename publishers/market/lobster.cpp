#include "publishers/market/lobster.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "publishers/market/decimal.hpp"

namespace millrace::market {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const auto comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

using Side10 = std::array<Level, TenLevels::count>;

std::size_t size_of(const Side10& levels) {
  const auto empty = [](const Level& level) { return level.quantity == Quantity{}; };
  return static_cast<std::size_t>(std::find_if(levels.begin(), levels.end(), empty) - levels.begin());
}

bool side_follows(const Side10& before, Side side, const LobsterMessage& message, const Side10& after) {
  using Type = LobsterMessage::Type;
  const bool reduces =
      message.type == Type::partial_cancel || message.type == Type::cancel || message.type == Type::visible_execution;
  if (message.side != side || (message.type != Type::add && !reduces)) return before == after;

  const std::size_t size = size_of(before);
  std::vector<Level> levels(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(size));
  const auto at = std::find_if(levels.begin(), levels.end(), [&](const Level& level) {
    return side == Side::buy ? level.price <= message.price : level.price >= message.price;
  });
  const bool there = at != levels.end() && at->price == message.price;
  if (message.type == Type::add) {
    if (there) {
      at->quantity += message.size;
    } else {
      levels.insert(at, {message.price, message.size});
    }
  } else {
    if (!there || at->quantity < message.size) return false;
    at->quantity -= message.size;
    if (at->quantity == Quantity{}) levels.erase(at);
  }
  levels.resize(std::min(levels.size(), TenLevels::count));

  if (!std::equal(levels.begin(), levels.end(), after.begin())) return false;
  const std::size_t shown = size_of(after);
  if (shown == levels.size()) return true;
  const bool tenth_came_up = size == TenLevels::count && levels.size() + 1 == size && shown == size;
  if (!tenth_came_up) return false;
  const Price tenth = after[shown - 1].price;
  const Price ninth = after[shown - 2].price;
  return side == Side::buy ? tenth < ninth : tenth > ninth;
}

}  // namespace

Result<LobsterMessages> LobsterMessages::open(std::string path) {
  auto lines = LineSource::open(std::move(path));
  if (!lines) return fail(std::move(lines).error());
  return LobsterMessages(*std::move(lines));
}

Result<std::optional<LobsterMessage>> LobsterMessages::next() {
  const auto line = lines_.next();
  if (!line) return fail(line.error());
  if (!*line) return std::nullopt;
  const auto malformed = [&](std::string_view why) { return lines_.error(ErrorCode::invalid_argument, why); };
  const auto fields = split(**line);
  if (fields.size() != 6) return malformed("a message has 6 fields, not " + std::to_string(fields.size()));
  const auto time = parse_decimal(fields[0], 9);
  if (!time) return malformed("the time " + time.error().message);
  std::array<std::int64_t, 6> number{};
  for (std::size_t i = 1; i < fields.size(); ++i) {
    const auto value = parse_integer(fields[i]);
    if (!value) return malformed("field " + std::to_string(i + 1) + ": " + value.error().message);
    number[i] = *value;
  }
  if (number[1] < 1 || number[1] > 7) return malformed("the type is not 1 to 7");
  if (number[5] != 1 && number[5] != -1) return malformed("the direction is neither 1 nor -1");
  if (number[3] < 0) return malformed("the size is negative");
  return LobsterMessage{*time,
                        static_cast<LobsterMessage::Type>(number[1]),
                        matching::OrderId(static_cast<std::uint64_t>(number[2])),
                        {number[3]},
                        {number[4]},
                        number[5] == 1 ? Side::buy : Side::sell};
}

Result<LobsterBooks> LobsterBooks::open(std::string path) {
  auto lines = LineSource::open(std::move(path));
  if (!lines) return fail(std::move(lines).error());
  return LobsterBooks(*std::move(lines));
}

Result<std::optional<TenLevels>> LobsterBooks::next() {
  const auto line = lines_.next();
  if (!line) return fail(line.error());
  if (!*line) return std::nullopt;
  const auto malformed = [&](std::string_view why) { return lines_.error(ErrorCode::invalid_argument, why); };
  const auto fields = split(**line);
  constexpr std::size_t per_level = 4;  // ask price, ask size, bid price, bid size
  if (fields.size() % per_level != 0 || fields.size() > per_level * TenLevels::count) {
    return malformed("a book has 4 fields a level and at most 10 levels, not " + std::to_string(fields.size()) +
                     " fields");
  }
  TenLevels book;
  for (std::size_t i = 0; i < fields.size(); i += 2) {
    const auto price = parse_integer(fields[i]);
    const auto size = parse_integer(fields[i + 1]);
    if (!price) return malformed("field " + std::to_string(i + 1) + ": " + price.error().message);
    if (!size) return malformed("field " + std::to_string(i + 2) + ": " + size.error().message);
    constexpr std::int64_t empty = 9'999'999'999;
    if (*price == empty || *price == -empty) continue;
    (i % per_level == 0 ? book.asks : book.bids)[i / per_level] = {{*price}, {*size}};
  }
  return book;
}

bool follows(const TenLevels& before, const LobsterMessage& message, const TenLevels& after) {
  return side_follows(before.bids, Side::buy, message, after.bids) &&
         side_follows(before.asks, Side::sell, message, after.asks);
}

}  // namespace millrace::market
