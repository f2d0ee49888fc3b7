#include "publishers/market/translate.hpp"

#include <charconv>
#include <string>

#include "schemas/market_l2.hpp"
#include "schemas/text.hpp"

namespace millrace::market {
namespace {

schemas::Side to_schema(Aggressor aggressor) {
  switch (aggressor) {
    case Aggressor::none:
      return schemas::Side::none;
    case Aggressor::buy:
      return schemas::Side::buy;
    case Aggressor::sell:
      return schemas::Side::sell;
  }
  return schemas::Side::none;
}

Aggressor from_schema(schemas::Side side) {
  switch (side) {
    case schemas::Side::none:
      return Aggressor::none;
    case schemas::Side::buy:
      return Aggressor::buy;
    case schemas::Side::sell:
      return Aggressor::sell;
  }
  return Aggressor::none;
}

void write_side(const std::array<Level, TenLevels::count>& from, schemas::Levels& into) {
  for (flatbuffers::uoffset_t i = 0; i < TenLevels::count; ++i) {
    schemas::Level& level = *into.mutable_levels()->GetMutablePointer(i);
    level.mutate_price(from[i].price.units);
    level.mutate_quantity(from[i].quantity.units);
  }
}

// An event that leaves a side out has no levels there.
void read_side(const schemas::Levels* from, std::array<Level, TenLevels::count>& into) {
  for (flatbuffers::uoffset_t i = 0; from != nullptr && i < TenLevels::count; ++i) {
    const schemas::Level& level = *from->levels()->Get(i);
    into[i] = {Price{level.price()}, Quantity{level.quantity()}};
  }
}

}  // namespace

void write(const TradePrint& print, schemas::TradeEvent& event) {
  schemas::set_text(event.mutable_trade_id(), std::to_string(print.number.value()));
  schemas::set_text(event.mutable_instrument(), print.instrument);
  event.mutate_buy_order_id(print.buy_order.value());
  event.mutate_sell_order_id(print.sell_order.value());
  event.mutate_price(print.price.units);
  event.mutate_quantity(print.quantity.units);
  event.mutate_price_scale(print.scale.price);
  event.mutate_quantity_scale(print.scale.quantity);
  event.mutate_aggressor(to_schema(print.aggressor));
  event.mutate_match_time(print.matched.ns);
}

void write(const BookView& view, schemas::MarketL2& event) {
  schemas::set_text(event.mutable_instrument(), view.instrument);
  write_side(view.levels.bids, *event.mutable_bids());
  write_side(view.levels.asks, *event.mutable_asks());
  event.mutate_price_scale(view.scale.price);
  event.mutate_quantity_scale(view.scale.quantity);
  event.mutate_phase(schemas::Phase::continuous);
  event.mutate_checksum(schemas::levels_checksum(*event.bids(), *event.asks()));
  event.mutate_valid_at(view.valid_at);
  event.mutate_book_time(view.time.ns);
}

TradePrint read(const schemas::TradeEvent& event) {
  TradePrint print;
  print.instrument = schemas::text(event.instrument());
  print.scale = {event.price_scale(), event.quantity_scale()};
  print.matched = {event.match_time()};
  const std::string_view id = schemas::text(event.trade_id());
  std::uint64_t number = 0;
  (void)std::from_chars(id.data(), id.data() + id.size(), number);  // another's id: 0
  print.number = VenueNumber(number);
  print.price = Price{event.price()};
  print.quantity = Quantity{event.quantity()};
  print.aggressor = from_schema(event.aggressor());
  print.buy_order = matching::OrderId(event.buy_order_id());
  print.sell_order = matching::OrderId(event.sell_order_id());
  return print;
}

BookView read(const schemas::MarketL2& event) {
  BookView view;
  view.instrument = schemas::text(event.instrument());
  view.scale = {event.price_scale(), event.quantity_scale()};
  view.time = {event.book_time()};
  view.valid_at = event.valid_at();
  read_side(event.bids(), view.levels.bids);
  read_side(event.asks(), view.levels.asks);
  return view;
}

}  // namespace millrace::market
