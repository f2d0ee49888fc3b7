// Where market data goes to: the topics trade_events and market_l2.
#pragma once

#include "bus/publisher.hpp"
#include "publishers/market/events.hpp"

namespace millrace::market {

class MarketOutlet {
 public:
  // The publishers outlive it.
  MarketOutlet(Publisher& trades, Publisher& books) : trades_(trades), books_(books) {}

  // Waits for nothing; `back_pressured`, `refused` and `disconnected` mean: the same event again, later.
  [[nodiscard]] PublishStatus publish(const MarketEvent& event);
  // Tells that the publishers live though they have nothing to say.
  void idle();
  // All that was published is in the log.
  [[nodiscard]] bool recorded() const;

 private:
  Publisher& trades_;
  Publisher& books_;
};

}  // namespace millrace::market
