// Where recordings go to: market data to the topics trade_events and market_l2, a day's orders to the topic orders.
// Outlets wait for nothing: `back_pressured`, `refused` and `disconnected` mean the same event again, later.
#pragma once

#include "bus/publisher.hpp"
#include "publishers/market/events.hpp"
#include "publishers/market/sse_day.hpp"

namespace millrace::market {

class MarketOutlet {
 public:
  // The publishers outlive it.
  MarketOutlet(Publisher& trades, Publisher& books) : trades_(trades), books_(books) {}

  [[nodiscard]] PublishStatus publish(const MarketEvent& event);
  // Tells that the publishers live though they have nothing to say.
  void idle();
  // All that was published is in the log.
  [[nodiscard]] bool recorded() const;

 private:
  Publisher& trades_;
  Publisher& books_;
};

class OrderOutlet {
 public:
  // The publisher outlives it. `config`: of the instrument that all commands are about.
  OrderOutlet(Publisher& orders, matching::InstrumentConfig config) : orders_(orders), config_(std::move(config)) {}

  // Before a day's first command: the phase and the reference price that it begins with.
  [[nodiscard]] PublishStatus begin(WallTime time);
  [[nodiscard]] PublishStatus publish(const matching::Command& command, WallTime time);
  void idle() { orders_.idle(); }
  [[nodiscard]] bool recorded() const { return orders_.recorded_sequence().next() >= orders_.next_sequence(); }

 private:
  Publisher& orders_;
  matching::InstrumentConfig config_;
};

}  // namespace millrace::market
