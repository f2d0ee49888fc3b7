// For tests: an engine with one instrument whose events are kept and can be read as short texts.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "publishers/matching/engine.hpp"

namespace millrace::matching {

using Event = std::variant<Accepted, Rejected, Trade, Cancelled, Replaced, Expired, PhaseChanged, BookChanged>;

// Keeps every event.
class EventRecorder final : public EventHandler {
 public:
  void on_accepted(const Accepted& event) override { events.emplace_back(event); }
  void on_rejected(const Rejected& event) override { events.emplace_back(event); }
  void on_trade(const Trade& event) override { events.emplace_back(event); }
  void on_cancelled(const Cancelled& event) override { events.emplace_back(event); }
  void on_replaced(const Replaced& event) override { events.emplace_back(event); }
  void on_expired(const Expired& event) override { events.emplace_back(event); }
  void on_phase_changed(const PhaseChanged& event) override { events.emplace_back(event); }
  void on_book_changed(const BookChanged& event) override { events.emplace_back(event); }

  std::vector<Event> events;
};

[[nodiscard]] inline std::string text_of(Quantity quantity, Price price) {
  return std::to_string(quantity.units) + "@" + std::to_string(price.units);
}

// One line an event, with what a worked example wants to see.
struct TextOf {
  std::string operator()(const Accepted& e) const { return "accepted " + std::to_string(e.order.order.value()); }
  std::string operator()(const Rejected& e) const {
    return "rejected " + std::to_string(e.order.value()) + " " + std::string(to_string(e.reason));
  }
  // Buyer, seller, aggressor.
  std::string operator()(const Trade& e) const {
    return "trade " + std::to_string(e.number.value()) + ": " + std::to_string(e.buyer.order.value()) + " from " +
           std::to_string(e.seller.order.value()) + " " + text_of(e.quantity, e.price) + " " +
           std::string(to_string(e.aggressor));
  }
  std::string operator()(const Cancelled& e) const {
    return "cancelled " + std::to_string(e.order.value()) + " " + std::to_string(e.remaining.units) + " " +
           std::string(to_string(e.reason));
  }
  std::string operator()(const Replaced& e) const {
    return "replaced " + std::to_string(e.order.value()) + " " + text_of(e.remaining, e.price) +
           (e.priority_kept ? " kept" : " moved");
  }
  std::string operator()(const Expired& e) const {
    return "expired " + std::to_string(e.order.value()) + " " + std::to_string(e.remaining.units) + " " +
           std::string(to_string(e.reason));
  }
  std::string operator()(const PhaseChanged& e) const {
    return std::string(to_string(e.phase)) + " " + text_of(e.auction_volume, e.auction_price);
  }
  std::string operator()(const BookChanged& e) const { return "book " + std::to_string(e.sequence.value()); }
};

[[nodiscard]] inline InstrumentConfig mill() {
  InstrumentConfig config;
  config.name = "MILL";
  return config;
}

class TestExchange {
 public:
  explicit TestExchange(InstrumentConfig config = mill()) : engine(recorder) {
    const auto added = engine.add_instrument(std::move(config));
    EXPECT_TRUE(added.has_value()) << (added ? "" : added.error().message);
  }

  // The events of one command as texts, without those that only say that the book changed.
  std::vector<std::string> apply(const Command& command) {
    recorder.events.clear();
    engine.apply(Input{++input_, WallTime{static_cast<std::int64_t>(input_.value()) * 1000}}, command);
    std::vector<std::string> texts;
    for (const auto& event : recorder.events) {
      if (!std::holds_alternative<BookChanged>(event)) texts.push_back(std::visit(TextOf{}, event));
    }
    return texts;
  }

  std::vector<std::string> enter(OrderKind kind, std::uint64_t order, Side side, std::int64_t quantity,
                                 std::int64_t price, std::uint64_t account = 0) {
    return apply(
        NewOrder{instrument, OrderId(order), AccountId(account), side, kind, Price{price}, Quantity{quantity}});
  }
  std::vector<std::string> buy(std::uint64_t order, std::int64_t quantity, std::int64_t price,
                               std::uint64_t account = 0) {
    return enter(OrderKind::limit, order, Side::buy, quantity, price, account);
  }
  std::vector<std::string> sell(std::uint64_t order, std::int64_t quantity, std::int64_t price,
                                std::uint64_t account = 0) {
    return enter(OrderKind::limit, order, Side::sell, quantity, price, account);
  }
  std::vector<std::string> cancel(std::uint64_t order, std::uint64_t account = 0) {
    return apply(CancelOrder{instrument, OrderId(order), AccountId(account)});
  }
  std::vector<std::string> replace(std::uint64_t order, std::int64_t quantity, std::int64_t price,
                                   std::uint64_t account = 0) {
    return apply(ReplaceOrder{instrument, OrderId(order), AccountId(account), Price{price}, Quantity{quantity}});
  }
  std::vector<std::string> phase(Phase phase, std::int64_t reference = 0) {
    return apply(SetPhase{instrument, phase, Price{reference}});
  }

  // Best bid first, then a bar, then the best ask first: "5@100 3@99 | 4@101".
  [[nodiscard]] std::string book() const {
    const auto depth = engine.depth(instrument);
    std::string text;
    for (const auto& level : depth.bids()) text += text_of(level.quantity, level.price) + " ";
    text += "|";
    for (const auto& level : depth.asks()) text += " " + text_of(level.quantity, level.price);
    return text;
  }

  InstrumentId instrument{0};
  EventRecorder recorder;
  Engine engine;

 private:
  InputNumber input_;
};

}  // namespace millrace::matching
