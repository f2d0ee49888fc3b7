// The matching engine as it stands between order commands and the events they lead to: it knows accounts and orders by
// the names that their owners use. No bus: commands come in as events in memory, outputs go out by write().
//
// Deterministic: the same instruments, session and commands give the same events, byte for byte.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "bus/base/state_bytes.hpp"
#include "publishers/matching/accounts.hpp"
#include "publishers/matching/engine.hpp"
#include "publishers/matching/open_orders.hpp"
#include "publishers/matching/translate.hpp"

namespace millrace::matching {

// What became of an order.
struct OrderReport {
  OrderId order;
  OrderId previous;
  schemas::Text32 client_order_id;
  schemas::Text16 account;
  schemas::Text16 instrument;
  schemas::OrderEventKind kind = schemas::OrderEventKind::accepted;
  schemas::OrderReason reason = schemas::OrderReason::none;
  schemas::Side side = schemas::Side::none;
  schemas::OrderType type = schemas::OrderType::limit;
  schemas::TimeInForce time_in_force = schemas::TimeInForce::day;
  schemas::Decimal price;
  schemas::Decimal quantity;
  std::int64_t remaining = 0;
};
// The levels or the phase of an instrument are not what they were before the input.
struct DepthChanged {
  InstrumentId instrument;
};
using Output = std::variant<Trade, OrderReport, DepthChanged>;

struct VenueOptions {
  std::vector<InstrumentConfig> instruments;
  // Goes into trade ids, so that those of two runs differ: the epoch of the publisher of trades.
  std::uint64_t session = 1;
  WallTime start;
  // Whether its first outputs are the depths of all instruments, empty, valid at 0: whoever still shows the books of a
  // process before this one learns that they are gone. Not where they come back.
  bool announce = true;
};

// One thread.
class Venue final : private EventHandler {
 public:
  // Numbers that the engine gives to orders which come without one begin here: far from those that people count up
  // themselves, and still exact in a double.
  static constexpr OrderId kFirstGivenOrder{std::uint64_t{1} << 52};

  // Errors: those of Engine::add_instrument.
  [[nodiscard]] static Result<std::unique_ptr<Venue>> open(VenueOptions options);

  // A verified command. One that cannot be carried out leads to an order event `rejected` that echoes it. The phase
  // `closed` also expires what rests.
  void apply(const schemas::OrderCommand& command, const Input& input);

  // What the last apply led to, in the order in which it shall be published; valid until the next.
  [[nodiscard]] std::span<const Output> outputs() const { return outputs_; }
  // One of outputs() as an event; `event` is fresh from its template.
  void write(const Trade& trade, schemas::TradeEvent& event) const;
  void write(const OrderReport& report, schemas::OrderEvent& event) const;
  void write(const DepthChanged& changed, schemas::MarketL2& event) const;

  // The whole state between two commands: a venue of the same instruments that restores it goes on byte for byte the
  // same.
  void save(StateWriter& into) const;
  // Into a venue that has carried out nothing. Errors: invalid_argument (other instruments), corrupt.
  [[nodiscard]] Status restore(StateReader& from);

  [[nodiscard]] const Engine& engine() const { return engine_; }

 private:
  struct Market {
    OpenOrders open;
    Turnover turnover;
  };

  explicit Venue(const VenueOptions& options) : session_(options.session), input_{{}, options.start}, engine_(*this) {}

  void save_market(InstrumentId id, StateWriter& into) const;
  void restore_market(InstrumentId id, StateReader& from);
  void apply_to(InstrumentId instrument);
  [[nodiscard]] std::optional<AccountId> account();
  [[nodiscard]] std::optional<OrderId> order(InstrumentId instrument, AccountId account);
  [[nodiscard]] OrderId give_number(InstrumentId instrument);
  void refuse(schemas::OrderReason reason, std::string_view instrument);
  // Of an open order; its event is `kind`.
  void report(const EventHead& head, const OpenOrder& order, schemas::OrderEventKind kind, schemas::OrderReason reason,
              Quantity remaining);
  void end(const EventHead& head, OrderId order, schemas::OrderEventKind kind, schemas::OrderReason reason,
           Quantity remaining);
  [[nodiscard]] Market& market(const EventHead& head) { return markets_[head.instrument.value()]; }
  [[nodiscard]] const InstrumentConfig& config(InstrumentId id) const { return engine_.instrument(id).config; }

  void on_accepted(const Accepted& event) override;
  void on_rejected(const Rejected& event) override;
  void on_trade(const Trade& event) override;
  void on_cancelled(const Cancelled& event) override;
  void on_replaced(const Replaced& event) override;
  void on_expired(const Expired& event) override;
  void on_phase_changed(const PhaseChanged& event) override;
  void on_book_changed(const BookChanged& event) override;

  std::uint64_t session_;
  Input input_;                                     // the one at hand, or the last
  const schemas::OrderCommand* command_ = nullptr;  // while in apply
  Engine engine_;
  Accounts accounts_;
  std::vector<Market> markets_;  // by instrument
  OrderId next_given_ = kFirstGivenOrder;
  bool rejected_ = false;       // the engine rejected the command at hand
  bool depth_changed_ = false;  // of the instrument at hand
  std::vector<Output> outputs_;
};

}  // namespace millrace::matching
