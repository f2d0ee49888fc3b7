// The trades that all rows of this benchmark are made of.
#pragma once

#include <string>

#include "schemas/families.hpp"
#include "schemas/text.hpp"

namespace millrace::bench {

inline void fill_trade(schemas::TradeEvent& trade, std::uint64_t i) {
  schemas::set_text(trade.mutable_trade_id(), "MILL-20260301-" + std::to_string(i));
  schemas::set_text(trade.mutable_instrument(), "MILL");
  schemas::set_text(trade.mutable_buyer_account(), "account-" + std::to_string(i % 1000));
  schemas::set_text(trade.mutable_seller_account(), "account-" + std::to_string(i % 997));
  trade.mutate_price(static_cast<std::int64_t>(1'800'000 + i % 10'000));
  trade.mutate_price_scale(3);
  trade.mutate_quantity(static_cast<std::int64_t>(100 + i % 900));
  trade.mutate_aggressor(i % 2 == 0 ? schemas::Side::buy : schemas::Side::sell);
  trade.mutate_buy_order_id(2 * i);
  trade.mutate_sell_order_id(2 * i + 1);
  trade.mutate_match_time(1'700'000'000'000'000'000 + static_cast<std::int64_t>(i) * 1'000);
}

}  // namespace millrace::bench
