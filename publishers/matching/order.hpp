// What the matching engine is told and what it tells: plain structs, no bus and no schema in sight.
//
// Prices and quantities are fixed-point: whole units of ten to the minus scale of the instrument. A command carries the
// time at which it counts as received; the engine has no clock. Every event names the input that caused it and its
// index among that input's events, so (cause, index) names an event for ever.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>
#include <variant>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"

namespace millrace::matching {

// A signed count of an instrument's smallest units.
template <class Tag>
struct FixedPoint {
  std::int64_t units = 0;

  constexpr auto operator<=>(const FixedPoint&) const = default;
  constexpr FixedPoint operator+(FixedPoint other) const { return {units + other.units}; }
  constexpr FixedPoint operator-(FixedPoint other) const { return {units - other.units}; }
  constexpr FixedPoint& operator+=(FixedPoint other) { return units += other.units, *this; }
  constexpr FixedPoint& operator-=(FixedPoint other) { return units -= other.units, *this; }
};
using Price = FixedPoint<struct PriceTag>;
using Quantity = FixedPoint<struct QuantityTag>;

// Given by whoever enters the order; unique among the resting orders of one instrument; never 0.
using OrderId = Ordinal<struct OrderIdTag>;
// 0 means not known: such orders take no part in self-trade prevention.
using AccountId = Ordinal<struct AccountIdTag>;
// Index of the instrument in its engine, from 0.
using InstrumentId = Ordinal<struct InstrumentIdTag>;
// Given by whoever feeds the engine (the offset of the order in its topic); the engine only hands it on.
using InputNumber = Ordinal<struct InputNumberTag>;
// Gapless per instrument; the first trade has number 1.
using TradeNumber = Ordinal<struct TradeNumberTag>;
// Up by one with each change of an instrument's ten best levels.
using BookSequence = Ordinal<struct BookSequenceTag>;

enum class Side : std::uint8_t { buy, sell };
[[nodiscard]] constexpr Side opposite(Side side) {
  return side == Side::buy ? Side::sell : Side::buy;
}

enum class OrderKind : std::uint8_t {
  limit,      // trades at its price or better, rests with what is left
  market,     // trades at any price; what is left expires
  ioc,        // as limit, but what is left expires
  fok,        // wholly at once, or rejected
  post_only,  // rejected if it would trade on arrival
};

enum class Phase : std::uint8_t {
  continuous,  // orders trade on arrival
  auction,     // limit orders are collected; nothing trades until the phase is left
  halted,      // only cancels; the book stands as it is, even crossed
  closed,      // only cancels; the book was uncrossed
};

// ---- commands

struct NewOrder {
  InstrumentId instrument;
  OrderId order;
  AccountId account;
  Side side = Side::buy;
  OrderKind kind = OrderKind::limit;
  Price price;  // ignored for market orders
  Quantity quantity;

  bool operator==(const NewOrder&) const = default;
};

struct CancelOrder {
  InstrumentId instrument;
  OrderId order;
  AccountId account;  // must be the order's

  bool operator==(const CancelOrder&) const = default;
};

// `quantity` is the order's new whole quantity, what has been filled included, so a fill that overtakes the command
// cannot make the order larger than was meant. Priority is kept only at the same price without an increase.
struct ReplaceOrder {
  InstrumentId instrument;
  OrderId order;
  AccountId account;  // must be the order's
  Price price;
  Quantity quantity;

  bool operator==(const ReplaceOrder&) const = default;
};

// Entering `continuous` or `closed` first uncrosses what an auction collected.
struct SetPhase {
  InstrumentId instrument;
  Phase phase = Phase::continuous;
  Price reference;  // for the uncross and from then on; 0 keeps the one there is

  bool operator==(const SetPhase&) const = default;
};

// Takes every resting order out of the book: the end of a session.
struct ExpireOrders {
  InstrumentId instrument;

  bool operator==(const ExpireOrders&) const = default;
};

using Command = std::variant<NewOrder, CancelOrder, ReplaceOrder, SetPhase, ExpireOrders>;

// What comes with each command.
struct Input {
  InputNumber number;
  WallTime time;

  bool operator==(const Input&) const = default;
};

// ---- events

struct EventHead {
  InputNumber cause;
  std::uint32_t index = 0;  // among the events of this input, from 0
  InstrumentId instrument;
  WallTime time;  // the input's

  bool operator==(const EventHead&) const = default;
};

struct Accepted {
  EventHead head;
  NewOrder order;

  bool operator==(const Accepted&) const = default;
};

// Stands in the order in which the checks are made: the first that fails is the reason.
enum class RejectReason : std::uint8_t {
  unknown_instrument,
  malformed,  // order id 0, or a side, kind or phase that does not exist
  halted,
  closed,
  not_in_auction,   // only limit orders are collected
  duplicate_order,  // an order with this id rests in the book
  unknown_order,    // never seen, filled, cancelled or expired
  not_owner,        // the order belongs to another account
  price_out_of_range,
  bad_tick,
  quantity_out_of_range,
  bad_lot,
  already_filled,  // a replace to no more than what has been filled
  book_full,
  would_cross,     // post-only
  would_not_fill,  // fill or kill
  no_liquidity,    // a market order against an empty side
};

enum class CommandKind : std::uint8_t { new_order, cancel, replace, set_phase, expire };

struct Rejected {
  EventHead head;
  CommandKind command = CommandKind::new_order;
  OrderId order;
  AccountId account;
  RejectReason reason = RejectReason::malformed;

  bool operator==(const Rejected&) const = default;
};

enum class Aggressor : std::uint8_t { buy, sell, none };  // none: made by a call auction

struct Party {
  OrderId order;
  AccountId account;
  Quantity remaining;  // open after this trade

  bool operator==(const Party&) const = default;
};

struct Trade {
  EventHead head;  // its time is the match time
  TradeNumber number;
  Price price;
  Quantity quantity;
  Aggressor aggressor = Aggressor::none;
  Party buyer;
  Party seller;

  bool operator==(const Trade&) const = default;
  // Have no meaning in an auction, where nobody is the aggressor.
  [[nodiscard]] const Party& maker() const { return aggressor == Aggressor::buy ? seller : buyer; }
  [[nodiscard]] const Party& taker() const { return aggressor == Aggressor::buy ? buyer : seller; }
};

enum class CancelReason : std::uint8_t { requested, self_trade };

struct Cancelled {
  EventHead head;
  OrderId order;
  AccountId account;
  Quantity remaining;  // what was open
  CancelReason reason = CancelReason::requested;

  bool operator==(const Cancelled&) const = default;
};

struct Replaced {
  EventHead head;
  OrderId order;
  AccountId account;
  Price price;
  Quantity quantity;   // whole, what has been filled included
  Quantity remaining;  // open, before any trade that the new price leads to
  bool priority_kept = false;

  bool operator==(const Replaced&) const = default;
};

enum class ExpireReason : std::uint8_t { unfilled, session_end };

struct Expired {
  EventHead head;
  OrderId order;
  AccountId account;
  Quantity remaining;  // what was open
  ExpireReason reason = ExpireReason::unfilled;

  bool operator==(const Expired&) const = default;
};

// Comes before the trades of the uncross, whose price and volume it names (0 if nothing crossed).
struct PhaseChanged {
  EventHead head;
  Phase phase = Phase::continuous;
  Price auction_price;
  Quantity auction_volume;

  bool operator==(const PhaseChanged&) const = default;
};

// Always the last event of its input: the ten best levels of a side differ from before, and Engine::depth shows them.
struct BookChanged {
  EventHead head;
  BookSequence sequence;

  bool operator==(const BookChanged&) const = default;
};

// Gets the events of each command, in order, while the engine is inside `apply`. It may read the engine, but only at
// BookChanged is the book settled; it must not give the engine another command from within.
class EventHandler {
 public:
  virtual ~EventHandler() = default;
  virtual void on_accepted(const Accepted& event) = 0;
  virtual void on_rejected(const Rejected& event) = 0;
  virtual void on_trade(const Trade& event) = 0;
  virtual void on_cancelled(const Cancelled& event) = 0;
  virtual void on_replaced(const Replaced& event) = 0;
  virtual void on_expired(const Expired& event) = 0;
  virtual void on_phase_changed(const PhaseChanged& event) = 0;
  virtual void on_book_changed(const BookChanged& event) = 0;
};

// The enumerator's own name; "?" for a value that has none.
[[nodiscard]] std::string_view to_string(Side value);
[[nodiscard]] std::string_view to_string(OrderKind value);
[[nodiscard]] std::string_view to_string(Phase value);
[[nodiscard]] std::string_view to_string(RejectReason value);
[[nodiscard]] std::string_view to_string(CommandKind value);
[[nodiscard]] std::string_view to_string(Aggressor value);
[[nodiscard]] std::string_view to_string(CancelReason value);
[[nodiscard]] std::string_view to_string(ExpireReason value);

}  // namespace millrace::matching
