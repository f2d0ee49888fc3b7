// The matching engine: commands in, events out, price-time priority, several instruments.
//
// Deterministic: the same instruments and the same inputs give the same events, on any machine. One thread at a time;
// it reads no clock, waits for nothing, and allocates only when a book outgrows what its configuration expects.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "bus/base/result.hpp"
#include "publishers/matching/auction.hpp"
#include "publishers/matching/book.hpp"
#include "publishers/matching/instrument.hpp"
#include "publishers/matching/order.hpp"

namespace millrace::matching {

// All that the engine knows of an instrument. With Book::for_each this is the whole state, in a fixed order.
struct Instrument {
  InstrumentConfig config;
  Phase phase;
  Price reference;
  TradeNumber last_trade;  // 0: none yet
  BookSequence sequence;   // of the last BookChanged
  Book book;
};

class Engine {
 public:
  // The handler must outlive the engine.
  explicit Engine(EventHandler& handler) : handler_(handler) {}
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Ids count from 0 in the order of the calls. invalid_argument for a bad configuration or a name that is taken.
  [[nodiscard]] Result<InstrumentId> add_instrument(InstrumentConfig config);

  // A command that cannot be carried out leads to one Rejected event and changes nothing.
  void apply(const Input& input, const NewOrder& command);
  void apply(const Input& input, const CancelOrder& command);
  void apply(const Input& input, const ReplaceOrder& command);
  void apply(const Input& input, const SetPhase& command);
  void apply(const Input& input, const ExpireOrders& command);
  void apply(const Input& input, const Command& command);

  [[nodiscard]] std::size_t instrument_count() const { return instruments_.size(); }
  [[nodiscard]] std::span<const Instrument> instruments() const { return instruments_; }
  // The instrument must exist; the reference is valid until the next add_instrument.
  [[nodiscard]] const Instrument& instrument(InstrumentId id) const { return instruments_[id.value()]; }
  // To put back what a snapshot kept, before the first input.
  [[nodiscard]] Instrument& restore(InstrumentId id) { return instruments_[id.value()]; }
  [[nodiscard]] std::optional<InstrumentId> find_instrument(std::string_view name) const;
  // The ten best levels of both sides as of the last input.
  [[nodiscard]] Depth depth(InstrumentId id) const;
  // What an uncross would give now; nullopt if nothing crosses.
  [[nodiscard]] std::optional<Uncross> indicative(InstrumentId id) const;

 private:
  // An order on its way through the book.
  struct Taker {
    OrderId order;
    AccountId account;
    Side side;
    Price limit;  // market orders carry the worst price there is
    Quantity remaining;
    bool self_traded = false;
  };

  void begin(const Input& input, InstrumentId instrument);
  [[nodiscard]] EventHead head();
  void finish(Instrument& instrument);
  [[nodiscard]] Instrument* known(InstrumentId id);
  void reject(CommandKind command, OrderId order, AccountId account, RejectReason reason);

  [[nodiscard]] static std::optional<RejectReason> check_new(const Instrument& instrument, const NewOrder& command);
  [[nodiscard]] static std::optional<RejectReason> check_replace(const Instrument& instrument,
                                                                 const ReplaceOrder& command);
  [[nodiscard]] static bool can_fill(const Instrument& instrument, const NewOrder& command);

  void match(Instrument& instrument, Taker& taker);
  // False if the taker ends here.
  [[nodiscard]] bool prevent_self_trade(Instrument& instrument, Taker& taker, Book::Slot maker);
  void uncross(Instrument& instrument, const Uncross& at);
  void trade(Instrument& instrument, Price price, Quantity quantity, Aggressor aggressor, Party buyer, Party seller);

  EventHandler& handler_;
  std::vector<Instrument> instruments_;
  EventHead next_;  // of the input at hand
};

}  // namespace millrace::matching
