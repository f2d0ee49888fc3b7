#include "publishers/matching/translate.hpp"

#include <array>
#include <charconv>

#include "schemas/market_l2.hpp"

namespace millrace::matching {
namespace {

using schemas::OrderAction;
using schemas::OrderReason;
using schemas::OrderType;
using schemas::TimeInForce;

std::optional<OrderKind> kind_of(const schemas::OrderCommand& command) {
  const auto tif = command.time_in_force();
  if (command.type() == OrderType::market) {
    // What a market order finds nothing for expires at once, so that `day` and `immediate_or_cancel` say the same.
    const bool known = tif == TimeInForce::day || tif == TimeInForce::immediate_or_cancel;
    return known && !command.post_only() ? std::optional(OrderKind::market) : std::nullopt;
  }
  if (command.type() != OrderType::limit) return std::nullopt;
  if (command.post_only()) return tif == TimeInForce::day ? std::optional(OrderKind::post_only) : std::nullopt;
  switch (tif) {
    case TimeInForce::day:
      return OrderKind::limit;
    case TimeInForce::immediate_or_cancel:
      return OrderKind::ioc;
    case TimeInForce::fill_or_kill:
      return OrderKind::fok;
  }
  return std::nullopt;
}

std::optional<Side> side_of(schemas::Side side) {
  if (side == schemas::Side::buy) return Side::buy;
  if (side == schemas::Side::sell) return Side::sell;
  return std::nullopt;
}

std::optional<Phase> phase_of(schemas::Phase phase) {
  switch (phase) {
    case schemas::Phase::closed:
      return Phase::closed;
    case schemas::Phase::auction:
      return Phase::auction;
    case schemas::Phase::continuous:
      return Phase::continuous;
    case schemas::Phase::halted:
      return Phase::halted;
  }
  return std::nullopt;
}

schemas::SelfTrade to_schema(SelfTrade rule) {
  switch (rule) {
    case SelfTrade::cancel_newest:
      return schemas::SelfTrade::cancel_incoming;
    case SelfTrade::cancel_oldest:
      return schemas::SelfTrade::cancel_resting;
    case SelfTrade::cancel_both:
      return schemas::SelfTrade::cancel_both;
    case SelfTrade::allow:
      return schemas::SelfTrade::allow;
  }
  return schemas::SelfTrade::allow;
}

void write_terms(OrderKind kind, schemas::OrderCommand& event) {
  event.mutate_type(kind == OrderKind::market ? OrderType::market : OrderType::limit);
  event.mutate_post_only(kind == OrderKind::post_only);
  event.mutate_time_in_force(kind == OrderKind::ioc   ? TimeInForce::immediate_or_cancel
                             : kind == OrderKind::fok ? TimeInForce::fill_or_kill
                                                      : TimeInForce::day);
}

struct WriteCommand {
  schemas::OrderCommand& event;

  void operator()(const NewOrder& order) const {
    event.mutate_action(OrderAction::enter);
    event.mutate_order_id(order.order.value());
    event.mutate_side(matching::to_schema(order.side));
    write_terms(order.kind, event);
    event.mutate_price(order.kind == OrderKind::market ? 0 : order.price.units);
    event.mutate_quantity(order.quantity.units);
  }
  void operator()(const CancelOrder& cancel) const {
    event.mutate_action(OrderAction::cancel);
    event.mutate_order_id(cancel.order.value());
  }
  void operator()(const ReplaceOrder& replace) const {
    event.mutate_action(OrderAction::replace);
    event.mutate_order_id(replace.order.value());
    event.mutate_price(replace.price.units);
    event.mutate_quantity(replace.quantity.units);
  }
  void operator()(const SetPhase& set) const {
    event.mutate_action(OrderAction::set_phase);
    event.mutate_phase(matching::to_schema(set.phase));
    event.mutate_price(set.reference.units);
  }
  void operator()(const ExpireOrders&) const {
    event.mutate_action(OrderAction::set_phase);
    event.mutate_phase(schemas::Phase::closed);
  }
};

schemas::Levels levels_of(const std::array<DepthLevel, kDepthLevels>& side) {
  std::array<schemas::Level, kDepthLevels> levels;
  for (std::size_t i = 0; i < levels.size(); ++i) levels[i] = {side[i].price.units, side[i].quantity.units};
  return schemas::Levels(flatbuffers::span<const schemas::Level, kDepthLevels>(levels));
}

}  // namespace

std::optional<std::int64_t> exactly(schemas::Decimal value, std::uint8_t scale) {
  while (value.scale > scale && value.mantissa % 10 == 0) {
    value.mantissa /= 10;
    --value.scale;
  }
  return schemas::rescale(value, scale);
}

std::variant<Command, OrderReason> to_command(const schemas::OrderCommand& command, const Subject& subject) {
  const auto& config = *subject.config;
  const auto price = exactly({command.price(), command.price_scale()}, config.price_scale);
  const auto quantity = exactly({command.quantity(), command.quantity_scale()}, config.quantity_scale);
  switch (command.action()) {
    case OrderAction::enter: {
      const auto side = side_of(command.side());
      const auto kind = kind_of(command);
      const auto rule = command.self_trade();
      if (!side || !kind) return OrderReason::unsupported;
      if (rule != schemas::SelfTrade::allow && rule != to_schema(config.self_trade)) return OrderReason::unsupported;
      const bool market = *kind == OrderKind::market;
      if (!market && !price) return OrderReason::bad_price;
      if (!quantity) return OrderReason::bad_quantity;
      return NewOrder{subject.instrument,         subject.order,      subject.account, *side, *kind,
                      Price{market ? 0 : *price}, Quantity{*quantity}};
    }
    case OrderAction::cancel:
      return CancelOrder{subject.instrument, subject.order, subject.account};
    case OrderAction::replace:
      if (!price) return OrderReason::bad_price;
      if (!quantity) return OrderReason::bad_quantity;
      return ReplaceOrder{subject.instrument, subject.order, subject.account, Price{*price}, Quantity{*quantity}};
    case OrderAction::set_phase: {
      const auto phase = phase_of(command.phase());
      if (!phase) return OrderReason::unsupported;
      if (!price) return OrderReason::bad_price;
      return SetPhase{subject.instrument, *phase, Price{*price}};
    }
  }
  return OrderReason::unsupported;
}

schemas::Side to_schema(Side side) {
  return side == Side::buy ? schemas::Side::buy : schemas::Side::sell;
}

schemas::Side to_schema(Aggressor aggressor) {
  if (aggressor == Aggressor::none) return schemas::Side::none;
  return aggressor == Aggressor::buy ? schemas::Side::buy : schemas::Side::sell;
}

schemas::Phase to_schema(Phase phase) {
  switch (phase) {
    case Phase::continuous:
      return schemas::Phase::continuous;
    case Phase::auction:
      return schemas::Phase::auction;
    case Phase::halted:
      return schemas::Phase::halted;
    case Phase::closed:
      return schemas::Phase::closed;
  }
  return schemas::Phase::closed;
}

OrderReason to_schema(RejectReason reason) {
  switch (reason) {
    case RejectReason::unknown_instrument:
      return OrderReason::unknown_instrument;
    case RejectReason::malformed:
      return OrderReason::unsupported;
    case RejectReason::halted:
    case RejectReason::closed:
    case RejectReason::not_in_auction:
      return OrderReason::wrong_phase;
    case RejectReason::duplicate_order:
      return OrderReason::duplicate_order;
    case RejectReason::unknown_order:
      return OrderReason::unknown_order;
    case RejectReason::not_owner:
    case RejectReason::book_full:
      return OrderReason::not_permitted;
    case RejectReason::price_out_of_range:
      return OrderReason::bad_price;
    case RejectReason::bad_tick:
      return OrderReason::off_tick;
    case RejectReason::quantity_out_of_range:
    case RejectReason::already_filled:
      return OrderReason::bad_quantity;
    case RejectReason::bad_lot:
      return OrderReason::off_lot;
    case RejectReason::would_cross:
      return OrderReason::would_take;
    case RejectReason::would_not_fill:
      return OrderReason::not_fillable_whole;
    case RejectReason::no_liquidity:
      return OrderReason::no_liquidity;
  }
  return OrderReason::unsupported;
}

OrderReason to_schema(CancelReason reason) {
  return reason == CancelReason::self_trade ? OrderReason::self_trade : OrderReason::requested;
}

OrderReason to_schema(ExpireReason reason) {
  return reason == ExpireReason::session_end ? OrderReason::end_of_day : OrderReason::no_liquidity;
}

void write(const Trade& trade, const InstrumentConfig& config, const TradeTexts& texts, schemas::TradeEvent& event) {
  std::array<char, sizeof(schemas::Text40) + 1> id;  // two numbers of at most 20 digits, and the dash
  char* const end = id.data() + id.size();
  char* at = std::to_chars(id.data(), end, texts.session).ptr;
  *at++ = '-';
  at = std::to_chars(at, end, trade.number.value()).ptr;
  schemas::set_text(event.mutable_trade_id(), {id.data(), static_cast<std::size_t>(at - id.data())});
  event.mutate_buy_order_id(trade.buyer.order.value());
  event.mutate_sell_order_id(trade.seller.order.value());
  schemas::set_text(event.mutable_instrument(), config.name);
  event.mutate_price(trade.price.units);
  event.mutate_quantity(trade.quantity.units);
  event.mutate_price_scale(config.price_scale);
  event.mutate_quantity_scale(config.quantity_scale);
  event.mutate_aggressor(to_schema(trade.aggressor));
  schemas::set_text(event.mutable_buyer_account(), texts.buyer);
  schemas::set_text(event.mutable_seller_account(), texts.seller);
  event.mutate_match_time(trade.head.time.ns);
}

void write(const Depth& depth, const Instrument& instrument, const Turnover& turnover, const Input& valid_at,
           schemas::MarketL2& event) {
  const auto bids = levels_of(depth.bid_levels);
  const auto asks = levels_of(depth.ask_levels);
  schemas::set_text(event.mutable_instrument(), instrument.config.name);
  *event.mutable_bids() = bids;
  *event.mutable_asks() = asks;
  event.mutate_price_scale(instrument.config.price_scale);
  event.mutate_quantity_scale(instrument.config.quantity_scale);
  event.mutate_phase(to_schema(instrument.phase));
  event.mutate_checksum(schemas::levels_checksum(bids, asks));
  event.mutate_valid_at(valid_at.number.value());
  event.mutate_trade_count(turnover.trades);
  event.mutate_traded_quantity(turnover.quantity.units);
  event.mutate_last_price(turnover.last.units);
  event.mutate_book_time(valid_at.time.ns);
}

void write(const Command& command, const InstrumentConfig& config, std::string_view account, WallTime time,
           schemas::OrderCommand& event) {
  schemas::set_text(event.mutable_account(), account);
  schemas::set_text(event.mutable_instrument(), config.name);
  event.mutate_price_scale(config.price_scale);
  event.mutate_quantity_scale(config.quantity_scale);
  event.mutate_order_time(time.ns);
  std::visit(WriteCommand{event}, command);
}

InstrumentId instrument_of(const Command& command) {
  return std::visit([](const auto& one) { return one.instrument; }, command);
}

AccountId account_of(const Command& command) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.account; }) {
          return one.account;
        } else {
          return AccountId(0);
        }
      },
      command);
}

}  // namespace millrace::matching
