#include "publishers/market/outlet.hpp"

#include "publishers/market/translate.hpp"
#include "publishers/matching/translate.hpp"

namespace millrace::market {

PublishStatus MarketOutlet::publish(const MarketEvent& event) {
  if (const auto* trade = std::get_if<TradePrint>(&event)) {
    return trades_.publish<schemas::TradeEvent>([&](schemas::TradeEvent& into) { write(*trade, into); }).status;
  }
  const auto& book = std::get<BookView>(event);
  return books_.publish<schemas::MarketL2>([&](schemas::MarketL2& into) { write(book, into); }).status;
}

void MarketOutlet::idle() {
  trades_.idle();
  books_.idle();
}

bool MarketOutlet::recorded() const {
  return trades_.recorded_sequence().next() >= trades_.next_sequence() &&
         books_.recorded_sequence().next() >= books_.next_sequence();
}

PublishStatus OrderOutlet::begin(WallTime time) {
  return publish(matching::SetPhase{matching::InstrumentId(0), config_.phase, config_.reference}, time);
}

PublishStatus OrderOutlet::publish(const matching::Command& command, WallTime time) {
  return orders_
      .publish<schemas::OrderCommand>(
          [&](schemas::OrderCommand& into) { matching::write(command, config_, "", time, into); })
      .status;
}

}  // namespace millrace::market
