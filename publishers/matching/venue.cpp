#include "publishers/matching/venue.hpp"

#include <utility>

namespace millrace::matching {
namespace {

using schemas::OrderAction;
using schemas::OrderEventKind;
using schemas::OrderReason;

// No account has it: a command in its name is nobody's.
constexpr AccountId kNobody{UINT64_MAX};

template <class Text>
void copy_text(Text* into, const Text* from) {
  if (from != nullptr) *into = *from;
}

}  // namespace

Result<std::unique_ptr<Venue>> Venue::open(VenueOptions options) {
  std::unique_ptr<Venue> venue(new Venue(options));
  for (auto& config : options.instruments) {
    const auto expected = config.orders_expected;
    const auto id = venue->engine_.add_instrument(std::move(config));
    if (!id) return fail(id.error());
    venue->markets_.push_back({OpenOrders(expected), {}});
    if (options.announce) venue->outputs_.emplace_back(DepthChanged{*id});
  }
  return venue;
}

void Venue::apply(const schemas::OrderCommand& command, const Input& input) {
  outputs_.clear();
  command_ = &command;
  input_ = input;
  const auto name = schemas::text(command.instrument());
  if (name.empty() && command.action() == OrderAction::set_phase) {
    for (std::uint64_t i = 0; i < markets_.size(); ++i) apply_to(InstrumentId(i));
  } else if (const auto instrument = engine_.find_instrument(name)) {
    apply_to(*instrument);
  } else {
    refuse(OrderReason::unknown_instrument, name);
  }
  command_ = nullptr;
}

void Venue::apply_to(InstrumentId instrument) {
  const auto& name = config(instrument).name;
  Subject subject{instrument, &config(instrument), {}, {}};
  if (command_->action() != OrderAction::set_phase) {
    const auto account = this->account();
    if (!account) return refuse(OrderReason::not_permitted, name);
    subject.account = *account;
    if (command_->action() == OrderAction::enter &&
        markets_[instrument.value()].open.find(*account, schemas::text(command_->client_order_id())) != nullptr) {
      return refuse(OrderReason::duplicate_order, name);
    }
    const auto order = this->order(instrument, *account);
    if (!order) return refuse(OrderReason::unknown_order, name);
    subject.order = *order;
  }
  const auto translated = to_command(*command_, subject);
  if (const auto* const reason = std::get_if<OrderReason>(&translated)) return refuse(*reason, name);
  const auto& command = std::get<Command>(translated);
  rejected_ = depth_changed_ = false;
  engine_.apply(input_, command);
  const auto* const set = std::get_if<SetPhase>(&command);
  if (set != nullptr && set->phase == Phase::closed && !rejected_) engine_.apply(input_, ExpireOrders{instrument});
  if (depth_changed_) outputs_.emplace_back(DepthChanged{instrument});
}

// Only who enters an order gets a number: what somebody else's command says of accounts need not be kept.
std::optional<AccountId> Venue::account() {
  const auto text = schemas::text(command_->account());
  if (command_->action() == OrderAction::enter) return accounts_.number(text);
  return accounts_.find(text).value_or(kNobody);
}

std::optional<OrderId> Venue::order(InstrumentId instrument, AccountId account) {
  if (command_->order_id() != 0) return OrderId(command_->order_id());
  if (command_->action() == OrderAction::enter) return give_number(instrument);
  const auto* const named = markets_[instrument.value()].open.find(account, schemas::text(command_->client_order_id()));
  if (named == nullptr) return std::nullopt;
  return named->id;
}

OrderId Venue::give_number(InstrumentId instrument) {
  while (markets_[instrument.value()].open.find(next_given_) != nullptr) ++next_given_;
  return std::exchange(next_given_, next_given_.next());
}

void Venue::refuse(OrderReason reason, std::string_view instrument) {
  OrderReport report;
  report.order = OrderId(command_->order_id());
  copy_text(&report.client_order_id, command_->client_order_id());
  copy_text(&report.account, command_->account());
  if (!instrument.empty()) schemas::set_text(&report.instrument, instrument);  // a field left out has no bytes at all
  report.kind = OrderEventKind::rejected;
  report.reason = reason;
  report.side = command_->side();
  report.type = command_->type();
  report.time_in_force = command_->time_in_force();
  report.price = {command_->price(), command_->price_scale()};
  report.quantity = {command_->quantity(), command_->quantity_scale()};
  if (command_->action() == OrderAction::enter) report.remaining = command_->quantity();
  outputs_.emplace_back(report);
}

void Venue::report(const EventHead& head, const OpenOrder& order, OrderEventKind kind, OrderReason reason,
                   Quantity remaining) {
  const auto& config = this->config(head.instrument);
  OrderReport report;
  report.order = order.id;
  if (kind == OrderEventKind::replaced) report.previous = order.id;
  report.client_order_id = order.client_order_id;
  schemas::set_text(&report.account, accounts_.text(order.account));
  schemas::set_text(&report.instrument, config.name);
  report.kind = kind;
  report.reason = reason;
  report.side = order.side;
  report.type = order.type;
  report.time_in_force = order.time_in_force;
  report.price = {order.price.units, config.price_scale};
  report.quantity = {order.quantity.units, config.quantity_scale};
  report.remaining = remaining.units;
  outputs_.emplace_back(report);
}

void Venue::end(const EventHead& head, OrderId order, OrderEventKind kind, OrderReason reason, Quantity remaining) {
  auto& open = market(head).open;
  report(head, *open.find(order), kind, reason, remaining);
  open.erase(order);
}

void Venue::on_accepted(const Accepted& event) {
  OpenOrder order{.id = event.order.order,
                  .account = event.order.account,
                  .client_order_id = {},
                  .side = to_schema(event.order.side),
                  .type = command_->type(),
                  .time_in_force = command_->time_in_force(),
                  .price = event.order.price,
                  .quantity = event.order.quantity};
  copy_text(&order.client_order_id, command_->client_order_id());
  market(event.head).open.add(order);
  report(event.head, order, OrderEventKind::accepted, OrderReason::none, order.quantity);
}

void Venue::on_rejected(const Rejected& event) {
  rejected_ = true;
  refuse(to_schema(event.reason), config(event.head.instrument).name);
}

void Venue::on_trade(const Trade& event) {
  auto& [open, turnover] = market(event.head);
  ++turnover.trades;
  turnover.last = event.price;
  // A sum that somebody drives beyond 64 bits stands still.
  if (__builtin_add_overflow(turnover.quantity.units, event.quantity.units, &turnover.quantity.units)) {
    turnover.quantity.units = INT64_MAX;
  }
  for (const auto& party : {event.buyer, event.seller}) {
    if (party.remaining == Quantity{0}) open.erase(party.order);
  }
  outputs_.emplace_back(event);
}

void Venue::on_cancelled(const Cancelled& event) {
  end(event.head, event.order, OrderEventKind::cancelled, to_schema(event.reason), event.remaining);
}

void Venue::on_replaced(const Replaced& event) {
  auto& order = *market(event.head).open.find(event.order);
  order.price = event.price;
  order.quantity = event.quantity;
  report(event.head, order, OrderEventKind::replaced, OrderReason::none, event.remaining);
}

void Venue::on_expired(const Expired& event) {
  end(event.head, event.order, OrderEventKind::expired, to_schema(event.reason), event.remaining);
}

void Venue::on_phase_changed(const PhaseChanged&) {
  depth_changed_ = true;
}

void Venue::on_book_changed(const BookChanged&) {
  depth_changed_ = true;
}

void Venue::write(const Trade& trade, schemas::TradeEvent& event) const {
  matching::write(trade, config(trade.head.instrument),
                  {accounts_.text(trade.buyer.account), accounts_.text(trade.seller.account), session_}, event);
}

void Venue::write(const OrderReport& report, schemas::OrderEvent& event) const {
  event.mutate_order_id(report.order.value());
  event.mutate_previous_order_id(report.previous.value());
  *event.mutable_client_order_id() = report.client_order_id;
  *event.mutable_account() = report.account;
  *event.mutable_instrument() = report.instrument;
  event.mutate_kind(report.kind);
  event.mutate_reason(report.reason);
  event.mutate_side(report.side);
  event.mutate_type(report.type);
  event.mutate_time_in_force(report.time_in_force);
  event.mutate_price(report.price.mantissa);
  event.mutate_quantity(report.quantity.mantissa);
  event.mutate_remaining(report.remaining);
  event.mutate_price_scale(report.price.scale);
  event.mutate_quantity_scale(report.quantity.scale);
  event.mutate_event_time(input_.time.ns);
}

void Venue::write(const DepthChanged& changed, schemas::MarketL2& event) const {
  matching::write(engine_.depth(changed.instrument), engine_.instrument(changed.instrument),
                  markets_[changed.instrument.value()].turnover, input_, event);
}

}  // namespace millrace::matching
