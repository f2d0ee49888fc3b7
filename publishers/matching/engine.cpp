#include "publishers/matching/engine.hpp"

#include <algorithm>
#include <utility>

namespace millrace::matching {
namespace {

// Whether a taker of `side` with this limit trades at this price.
bool reaches(Side side, Price limit, Price price) {
  return side == Side::buy ? price <= limit : price >= limit;
}

// All prices that orders can have lie strictly between.
Price worst_price(Side side) {
  return side == Side::buy ? kPriceMax : Price{0};
}

bool crosses(const Book& book, Side side, Price price) {
  const auto best = book.best(opposite(side));
  return best != Book::Slot::none && reaches(side, price, book.at(best).price);
}

bool same_owner(AccountId one, AccountId other) {
  return one == other && one != AccountId(0);
}

std::optional<RejectReason> check_price(const InstrumentConfig& config, Price price) {
  if (price < config.price_min || price > config.price_max) return RejectReason::price_out_of_range;
  if (price.units % config.tick.units != 0) return RejectReason::bad_tick;
  return std::nullopt;
}

std::optional<RejectReason> check_quantity(const InstrumentConfig& config, Quantity quantity) {
  if (quantity <= Quantity{0} || quantity > config.quantity_max) return RejectReason::quantity_out_of_range;
  if (quantity.units % config.lot.units != 0) return RejectReason::bad_lot;
  return std::nullopt;
}

std::optional<RejectReason> check_phase(Phase phase) {
  if (phase == Phase::halted) return RejectReason::halted;
  if (phase == Phase::closed) return RejectReason::closed;
  return std::nullopt;
}

}  // namespace

Result<InstrumentId> Engine::add_instrument(InstrumentConfig config) {
  MILLRACE_TRY(validate(config));
  if (find_instrument(config.name)) {
    return fail(ErrorCode::invalid_argument, "instrument '" + config.name + "': the name is taken");
  }
  const auto phase = config.phase;
  const auto reference = config.reference;
  Book book(std::min(config.orders_expected, config.orders_max));
  instruments_.push_back({std::move(config), phase, reference, TradeNumber(0), BookSequence(0), std::move(book)});
  return InstrumentId(instruments_.size() - 1);
}

std::optional<InstrumentId> Engine::find_instrument(std::string_view name) const {
  for (std::size_t i = 0; i < instruments_.size(); ++i) {
    if (instruments_[i].config.name == name) return InstrumentId(i);
  }
  return std::nullopt;
}

Depth Engine::depth(InstrumentId id) const {
  auto depth = instrument(id).book.depth();
  depth.sequence = instrument(id).sequence;
  return depth;
}

std::optional<Uncross> Engine::indicative(InstrumentId id) const {
  const auto& of = instrument(id);
  return find_uncross(of.book, of.config.tick, of.reference);
}

// ---- framing of an input

void Engine::begin(const Input& input, InstrumentId instrument) {
  next_ = {input.number, 0, instrument, input.time};
}

EventHead Engine::head() {
  const auto head = next_;
  ++next_.index;
  return head;
}

void Engine::finish(Instrument& instrument) {
  if (instrument.book.take_changed()) handler_.on_book_changed({head(), ++instrument.sequence});
}

Instrument* Engine::known(InstrumentId id) {
  return id.value() < instruments_.size() ? &instruments_[id.value()] : nullptr;
}

void Engine::reject(CommandKind command, OrderId order, AccountId account, RejectReason reason) {
  handler_.on_rejected({head(), command, order, account, reason});
}

// ---- new orders

std::optional<RejectReason> Engine::check_new(const Instrument& instrument, const NewOrder& command) {
  const auto& book = instrument.book;
  if (command.order == OrderId(0) || command.side > Side::sell || command.kind > OrderKind::post_only) {
    return RejectReason::malformed;
  }
  if (const auto reason = check_phase(instrument.phase)) return reason;
  if (instrument.phase == Phase::auction && command.kind != OrderKind::limit) return RejectReason::not_in_auction;
  if (book.find(command.order) != Book::Slot::none) return RejectReason::duplicate_order;
  if (command.kind != OrderKind::market) {
    if (const auto reason = check_price(instrument.config, command.price)) return reason;
  }
  if (const auto reason = check_quantity(instrument.config, command.quantity)) return reason;
  switch (command.kind) {
    case OrderKind::limit:
    case OrderKind::post_only:
      if (book.order_count() >= instrument.config.orders_max) return RejectReason::book_full;
      if (command.kind == OrderKind::post_only && crosses(book, command.side, command.price)) {
        return RejectReason::would_cross;
      }
      break;
    case OrderKind::fok:
      if (!can_fill(instrument, command)) return RejectReason::would_not_fill;
      break;
    case OrderKind::market:
      if (book.level_count(opposite(command.side)) == 0) return RejectReason::no_liquidity;
      break;
    case OrderKind::ioc:
      break;
  }
  return std::nullopt;
}

// Foresees what `match` would do, self-trade prevention included.
bool Engine::can_fill(const Instrument& instrument, const NewOrder& command) {
  const auto& book = instrument.book;
  const auto maker_side = opposite(command.side);
  const auto mode = instrument.config.self_trade;
  const bool prevents = mode != SelfTrade::allow && command.account != AccountId(0);
  auto missing = command.quantity;
  for (std::size_t i = 0; i < book.level_count(maker_side); ++i) {
    const auto level = book.level(maker_side, i);
    if (!reaches(command.side, command.price, level.price)) return false;
    if (!prevents) {
      missing -= level.quantity;
      if (missing <= Quantity{0}) return true;
      continue;
    }
    for (auto slot = book.first_of(maker_side, i); slot != Book::Slot::none; slot = book.after(slot)) {
      const auto& maker = book.at(slot);
      if (same_owner(maker.account, command.account)) {
        if (mode == SelfTrade::cancel_oldest) continue;
        return false;
      }
      missing -= maker.remaining;
      if (missing <= Quantity{0}) return true;
    }
  }
  return false;
}

void Engine::apply(const Input& input, const NewOrder& command) {
  begin(input, command.instrument);
  auto* const instrument = known(command.instrument);
  const auto reason = instrument == nullptr ? RejectReason::unknown_instrument : check_new(*instrument, command);
  if (reason) return reject(CommandKind::new_order, command.order, command.account, *reason);

  handler_.on_accepted({head(), command});
  const auto limit = command.kind == OrderKind::market ? worst_price(command.side) : command.price;
  Taker taker{command.order, command.account, command.side, limit, command.quantity};
  if (instrument->phase == Phase::continuous) match(*instrument, taker);
  if (taker.self_traded) {
    handler_.on_cancelled({head(), taker.order, taker.account, taker.remaining, CancelReason::self_trade});
  } else if (taker.remaining > Quantity{0}) {
    if (command.kind == OrderKind::limit || command.kind == OrderKind::post_only) {
      instrument->book.add({.id = command.order,
                            .account = command.account,
                            .price = command.price,
                            .quantity = command.quantity,
                            .remaining = taker.remaining,
                            .side = command.side,
                            .kind = command.kind});
    } else {
      handler_.on_expired({head(), taker.order, taker.account, taker.remaining, ExpireReason::unfilled});
    }
  }
  finish(*instrument);
}

// ---- matching

void Engine::match(Instrument& instrument, Taker& taker) {
  auto& book = instrument.book;
  const auto aggressor = taker.side == Side::buy ? Aggressor::buy : Aggressor::sell;
  while (taker.remaining > Quantity{0}) {
    const auto slot = book.best(opposite(taker.side));
    if (slot == Book::Slot::none) return;
    const auto& maker = book.at(slot);
    if (!reaches(taker.side, taker.limit, maker.price)) return;
    if (instrument.config.self_trade != SelfTrade::allow && same_owner(maker.account, taker.account)) {
      if (!prevent_self_trade(instrument, taker, slot)) return;
      continue;
    }
    const auto quantity = std::min(taker.remaining, maker.remaining);
    taker.remaining -= quantity;
    const Party taking{taker.order, taker.account, taker.remaining};
    const Party making{maker.id, maker.account, maker.remaining - quantity};
    const auto price = maker.price;
    book.fill(slot, quantity);
    if (taker.side == Side::buy) {
      trade(instrument, price, quantity, aggressor, taking, making);
    } else {
      trade(instrument, price, quantity, aggressor, making, taking);
    }
  }
}

bool Engine::prevent_self_trade(Instrument& instrument, Taker& taker, Book::Slot slot) {
  const auto mode = instrument.config.self_trade;
  if (mode != SelfTrade::cancel_newest) {
    const auto& maker = instrument.book.at(slot);
    handler_.on_cancelled({head(), maker.id, maker.account, maker.remaining, CancelReason::self_trade});
    instrument.book.remove(slot);
  }
  taker.self_traded = mode != SelfTrade::cancel_oldest;
  return !taker.self_traded;
}

void Engine::trade(Instrument& instrument, Price price, Quantity quantity, Aggressor aggressor, Party buyer,
                   Party seller) {
  handler_.on_trade({head(), ++instrument.last_trade, price, quantity, aggressor, buyer, seller});
}

void Engine::uncross(Instrument& instrument, const Uncross& at) {
  auto& book = instrument.book;
  auto open = at.volume;
  while (open > Quantity{0}) {
    const auto buy = book.best(Side::buy);
    const auto sell = book.best(Side::sell);
    const auto& buyer = book.at(buy);
    const auto& seller = book.at(sell);
    const auto quantity = std::min({open, buyer.remaining, seller.remaining});
    const Party buying{buyer.id, buyer.account, buyer.remaining - quantity};
    const Party selling{seller.id, seller.account, seller.remaining - quantity};
    open -= quantity;
    book.fill(buy, quantity);
    book.fill(sell, quantity);
    trade(instrument, at.price, quantity, Aggressor::none, buying, selling);
  }
}

// ---- cancel, replace, phases

void Engine::apply(const Input& input, const CancelOrder& command) {
  begin(input, command.instrument);
  const auto refuse = [&](RejectReason reason) { reject(CommandKind::cancel, command.order, command.account, reason); };
  auto* const instrument = known(command.instrument);
  if (instrument == nullptr) return refuse(RejectReason::unknown_instrument);
  const auto slot = instrument->book.find(command.order);
  if (slot == Book::Slot::none) return refuse(RejectReason::unknown_order);
  const auto& order = instrument->book.at(slot);
  if (order.account != command.account) return refuse(RejectReason::not_owner);

  handler_.on_cancelled({head(), order.id, order.account, order.remaining, CancelReason::requested});
  instrument->book.remove(slot);
  finish(*instrument);
}

std::optional<RejectReason> Engine::check_replace(const Instrument& instrument, const ReplaceOrder& command) {
  if (const auto reason = check_phase(instrument.phase)) return reason;
  const auto slot = instrument.book.find(command.order);
  if (slot == Book::Slot::none) return RejectReason::unknown_order;
  const auto& order = instrument.book.at(slot);
  if (order.account != command.account) return RejectReason::not_owner;
  if (const auto reason = check_price(instrument.config, command.price)) return reason;
  if (const auto reason = check_quantity(instrument.config, command.quantity)) return reason;
  if (command.quantity <= order.quantity - order.remaining) return RejectReason::already_filled;
  if (order.kind == OrderKind::post_only && instrument.phase == Phase::continuous &&
      crosses(instrument.book, order.side, command.price)) {
    return RejectReason::would_cross;
  }
  return std::nullopt;
}

void Engine::apply(const Input& input, const ReplaceOrder& command) {
  begin(input, command.instrument);
  auto* const instrument = known(command.instrument);
  const auto reason = instrument == nullptr ? RejectReason::unknown_instrument : check_replace(*instrument, command);
  if (reason) return reject(CommandKind::replace, command.order, command.account, *reason);

  auto& book = instrument->book;
  const auto slot = book.find(command.order);
  auto order = book.at(slot);
  const auto remaining = command.quantity - (order.quantity - order.remaining);
  const bool keeps = command.price == order.price && command.quantity <= order.quantity;
  handler_.on_replaced({head(), order.id, order.account, command.price, command.quantity, remaining, keeps});
  if (keeps) {
    book.reduce(slot, command.quantity);
    return finish(*instrument);
  }
  book.remove(slot);
  Taker taker{order.id, order.account, order.side, command.price, remaining};
  if (instrument->phase == Phase::continuous) match(*instrument, taker);
  if (taker.self_traded) {
    handler_.on_cancelled({head(), order.id, order.account, taker.remaining, CancelReason::self_trade});
  } else if (taker.remaining > Quantity{0}) {
    order.price = command.price;
    order.quantity = command.quantity;
    order.remaining = taker.remaining;
    book.add(order);
  }
  finish(*instrument);
}

void Engine::apply(const Input& input, const SetPhase& command) {
  begin(input, command.instrument);
  const auto refuse = [&](RejectReason reason) { reject(CommandKind::set_phase, OrderId(0), AccountId(0), reason); };
  auto* const instrument = known(command.instrument);
  if (instrument == nullptr) return refuse(RejectReason::unknown_instrument);
  if (command.phase > Phase::closed) return refuse(RejectReason::malformed);
  if (command.reference != Price{0}) {
    if (const auto reason = check_price(instrument->config, command.reference)) return refuse(*reason);
    instrument->reference = command.reference;
  }
  instrument->phase = command.phase;
  std::optional<Uncross> at;
  if (command.phase == Phase::continuous || command.phase == Phase::closed) at = indicative(command.instrument);
  handler_.on_phase_changed({head(), command.phase, at ? at->price : Price{0}, at ? at->volume : Quantity{0}});
  if (at) uncross(*instrument, *at);
  finish(*instrument);
}

void Engine::apply(const Input& input, const ExpireOrders& command) {
  begin(input, command.instrument);
  auto* const instrument = known(command.instrument);
  if (instrument == nullptr) {
    return reject(CommandKind::expire, OrderId(0), AccountId(0), RejectReason::unknown_instrument);
  }
  auto& book = instrument->book;
  for (const auto side : {Side::buy, Side::sell}) {
    for (auto slot = book.best(side); slot != Book::Slot::none; slot = book.best(side)) {
      const auto& order = book.at(slot);
      handler_.on_expired({head(), order.id, order.account, order.remaining, ExpireReason::session_end});
      book.remove(slot);
    }
  }
  finish(*instrument);
}

void Engine::apply(const Input& input, const Command& command) {
  std::visit([&](const auto& one) { apply(input, one); }, command);
}

}  // namespace millrace::matching
