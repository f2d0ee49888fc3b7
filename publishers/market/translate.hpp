// Between market data as plain structs and the events of the bus. Both ways, so that what went through the bus can be
// checked against what was recorded.
#pragma once

#include "publishers/market/events.hpp"
#include "schemas/families.hpp"

namespace millrace::market {

// `event` is fresh from its template. The trade's id is the venue's number in decimals.
void write(const TradePrint& print, schemas::TradeEvent& event);
void write(const BookView& view, schemas::MarketL2& event);

[[nodiscard]] TradePrint read(const schemas::TradeEvent& event);
[[nodiscard]] BookView read(const schemas::MarketL2& event);

}  // namespace millrace::market
