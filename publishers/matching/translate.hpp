// Between the events of the bus and what the engine speaks: words, scales, fields. Pure functions; who an order belongs
// to and what is known of it stands in venue.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "publishers/matching/engine.hpp"
#include "schemas/decimal.hpp"
#include "schemas/families.hpp"

namespace millrace::matching {

// The same number in units of ten to the minus `scale`; nullopt if that is not exact or does not fit.
[[nodiscard]] std::optional<std::int64_t> exactly(schemas::Decimal value, std::uint8_t scale);

// ---- from the bus

// Who and what a command is about, looked up beforehand.
struct Subject {
  InstrumentId instrument;
  const InstrumentConfig* config;
  OrderId order;
  AccountId account;
};
// The engine's command, or why there is none: bad_price and bad_quantity (not exact at the instrument's scale),
// unsupported (a word that does not exist or words that do not go together).
//
// How an account is kept from trading with itself is the instrument's rule. `self_trade` may repeat it; `allow`, the
// default of the field, leaves it to the instrument; anything else is unsupported.
[[nodiscard]] std::variant<Command, schemas::OrderReason> to_command(const schemas::OrderCommand& command,
                                                                     const Subject& subject);

// ---- to the bus

[[nodiscard]] schemas::Side to_schema(Side side);
[[nodiscard]] schemas::Side to_schema(Aggressor aggressor);
[[nodiscard]] schemas::Phase to_schema(Phase phase);
[[nodiscard]] schemas::OrderReason to_schema(RejectReason reason);
[[nodiscard]] schemas::OrderReason to_schema(CancelReason reason);
[[nodiscard]] schemas::OrderReason to_schema(ExpireReason reason);

// `event` is fresh from its template; every field that is not 0 or empty is set.
struct TradeTexts {
  std::string_view buyer;
  std::string_view seller;
  std::uint64_t session;  // the trade's id is "SESSION-NUMBER"
};
void write(const Trade& trade, const InstrumentConfig& config, const TradeTexts& texts, schemas::TradeEvent& event);

struct Turnover {
  std::uint64_t trades = 0;
  Quantity quantity;
  Price last;
};
void write(const Depth& depth, const Instrument& instrument, const Turnover& turnover, const Input& valid_at,
           schemas::MarketL2& event);

// The command as an event, for those who make commands themselves. ExpireOrders becomes the phase `closed`, whose
// coming takes the orders of the day out of the book.
void write(const Command& command, const InstrumentConfig& config, std::string_view account, WallTime time,
           schemas::OrderCommand& event);
[[nodiscard]] InstrumentId instrument_of(const Command& command);
// AccountId(0) for commands that have none.
[[nodiscard]] AccountId account_of(const Command& command);

}  // namespace millrace::matching
