// Venue::save and Venue::restore: all that an input may depend on and that is not in the input.
#include <algorithm>
#include <cstring>

#include "bus/base/assert.hpp"
#include "publishers/matching/venue.hpp"

namespace millrace::matching {
namespace {

// All of a configuration that decides what an input leads to.
void save(StateWriter& into, const InstrumentConfig& config) {
  into.put(config.name);
  into.put(config.price_scale);
  into.put(config.quantity_scale);
  for (const auto units : {config.tick.units, config.lot.units, config.reference.units, config.price_min.units,
                           config.price_max.units, config.quantity_max.units}) {
    into.put(units);
  }
  into.put(config.self_trade);
  into.put(config.phase);
  into.put(config.orders_max);
}

void save(StateWriter& into, const RestingOrder& order, const OpenOrder& open) {
  into.put(order.id.value());
  into.put(order.account.value());
  into.put(order.price.units);
  into.put(order.quantity.units);
  into.put(order.remaining.units);
  into.put(order.side);
  into.put(order.kind);
  into.put(open.type);
  into.put(open.time_in_force);
  into.put_bytes(std::as_bytes(std::span(&open.client_order_id, 1)));  // whole: events repeat what lies behind a zero
}

Error damaged() {
  return {ErrorCode::corrupt, "the snapshot's state does not hold together; remove it, and the log is read instead"};
}

}  // namespace

void Venue::save(StateWriter& into) const {
  MILLRACE_ASSERT(command_ == nullptr, "a venue is saved between two commands");
  into.put(session_);
  into.put(next_given_.value());
  into.put(accounts_.size());
  for (std::uint64_t i = 1; i <= accounts_.size(); ++i) into.put(accounts_.text(AccountId(i)));
  into.put(std::uint64_t{markets_.size()});
  for (const auto& instrument : engine_.instruments()) matching::save(into, instrument.config);
  for (std::uint64_t i = 0; i < markets_.size(); ++i) save_market(InstrumentId(i), into);
}

void Venue::save_market(InstrumentId id, StateWriter& into) const {
  const auto& [open, turnover] = markets_[id.value()];
  const auto& instrument = engine_.instrument(id);
  const auto& book = instrument.book;
  MILLRACE_ASSERT(open.size() == book.order_count(), "between two commands an open order is one that rests");
  into.put(instrument.phase);
  into.put(instrument.reference.units);
  into.put(instrument.last_trade.value());
  into.put(instrument.sequence.value());
  into.put(turnover.trades);
  into.put(turnover.quantity.units);
  into.put(turnover.last.units);
  into.put(book.order_count());
  for (const auto side : {Side::buy, Side::sell}) {
    // Worst level first: each is then added behind those that are there.
    for (auto level = book.level_count(side); level-- > 0;) {
      for (auto slot = book.first_of(side, level); slot != Book::Slot::none; slot = book.after(slot)) {
        const auto& order = book.at(slot);
        matching::save(into, order, *open.find(order.id));
      }
    }
  }
}

Status Venue::restore(StateReader& from) {
  session_ = from.get<std::uint64_t>();
  next_given_ = OrderId(from.get<std::uint64_t>());
  const auto accounts = from.get<std::uint64_t>();
  for (std::uint64_t i = 1; i <= accounts && from.sound(); ++i) {
    if (accounts_.number(from.get_text()) != AccountId(i)) from.refuse();
  }
  // Compared as bytes: whatever differs, the same orders would lead to something else.
  StateWriter expected;
  expected.put(std::uint64_t{markets_.size()});
  for (const auto& instrument : engine_.instruments()) matching::save(expected, instrument.config);
  if (!from.sound()) return fail(damaged());
  const auto found = from.get_bytes(expected.bytes().size());
  if (!std::equal(found.begin(), found.end(), expected.bytes().begin(), expected.bytes().end())) {
    return fail(ErrorCode::invalid_argument,
                "the snapshot was made with other instruments, or the same with other rules; start with those, or with "
                "another folder of snapshots and another publisher's name");
  }
  for (std::uint64_t i = 0; i < markets_.size() && from.sound(); ++i) restore_market(InstrumentId(i), from);
  if (!from.sound() || !from.at_end()) return fail(damaged());
  return {};
}

void Venue::restore_market(InstrumentId id, StateReader& from) {
  auto& [open, turnover] = markets_[id.value()];
  auto& instrument = engine_.restore(id);
  instrument.phase = from.get_up_to(Phase::closed);
  instrument.reference = Price{from.get<std::int64_t>()};
  instrument.last_trade = TradeNumber(from.get<std::uint64_t>());
  instrument.sequence = BookSequence(from.get<std::uint64_t>());
  turnover.trades = from.get<std::uint64_t>();
  turnover.quantity = Quantity{from.get<std::int64_t>()};
  turnover.last = Price{from.get<std::int64_t>()};
  const auto orders = from.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < orders && from.sound(); ++i) {
    RestingOrder order{};
    order.id = OrderId(from.get<std::uint64_t>());
    order.account = AccountId(from.get<std::uint64_t>());
    order.price = Price{from.get<std::int64_t>()};
    order.quantity = Quantity{from.get<std::int64_t>()};
    order.remaining = Quantity{from.get<std::int64_t>()};
    order.side = from.get_up_to(Side::sell);
    order.kind = from.get_up_to(OrderKind::post_only);
    OpenOrder entry{.id = order.id,
                    .account = order.account,
                    .client_order_id = {},
                    .side = to_schema(order.side),
                    .type = from.get<schemas::OrderType>(),
                    .time_in_force = from.get<schemas::TimeInForce>(),
                    .price = order.price,
                    .quantity = order.quantity};
    const auto name = from.get_bytes(sizeof entry.client_order_id);
    if (!name.empty()) std::memcpy(&entry.client_order_id, name.data(), name.size());
    const bool fits = order.price > Price{0} && order.price <= kPriceMax && order.remaining > Quantity{0} &&
                      order.remaining <= order.quantity && order.quantity <= kQuantityMax && order.id != OrderId(0) &&
                      order.account.value() <= accounts_.size() && i < instrument.config.orders_max &&
                      open.find(order.id) == nullptr;
    if (!fits || !from.sound()) return from.refuse();
    instrument.book.add(order);
    open.add(entry);
  }
  (void)instrument.book.take_changed();
}

}  // namespace millrace::matching
