// A seeded stream of plausible orders for several instruments: the demo's market, and load for benchmarks.
//
// Arrivals are Poisson in virtual time. Each instrument has a middle price that drifts on the tick; limit orders stand
// away from it by a power law (few at the touch, a long tail), sizes likewise. The stream does not see what becomes of
// its orders: it remembers those that it believes to rest, keeps their number near a target, and about
// one cancel in four comes after the fill, as with real traders. The same configuration gives the same stream.
#pragma once

#include <cstdint>
#include <vector>

#include "publishers/matching/instrument.hpp"
#include "publishers/matching/order.hpp"
#include "publishers/matching/random.hpp"

namespace millrace::matching {

// MILL, RACE, FLUX and WEIR: four invented instruments with different grids, ids 0 to 3 if added in this order.
[[nodiscard]] std::vector<InstrumentConfig> demo_instruments();

struct OrderFlowConfig {
  std::uint64_t seed = 1;
  double commands_per_second = 1000.0;  // of virtual time, over all instruments; > 0
  WallTime start{};
  // As added to the engine, in that order; each needs a reference price. At least one.
  std::vector<InstrumentConfig> instruments = demo_instruments();
  std::uint32_t accounts = 100;         // numbered from 1; > 0
  std::uint32_t resting_target = 2000;  // believed resting orders of one instrument
};

struct TimedCommand {
  Input input;  // numbers count from 1
  Command command;
};

class OrderFlow {
 public:
  explicit OrderFlow(OrderFlowConfig config);

  [[nodiscard]] TimedCommand next();

 private:
  struct Placed {
    OrderId order;
    AccountId account;
    Side side;
    Price price;
    Quantity quantity;
  };
  struct Market {
    Price middle;
    std::vector<Placed> resting;
  };

  [[nodiscard]] Command next_for(InstrumentId instrument);
  [[nodiscard]] Command place(InstrumentId instrument);
  [[nodiscard]] Command take(InstrumentId instrument);
  void drift(const InstrumentConfig& config, Market& market);
  // One that probably still rests, taken off the list; those that the middle has passed are forgotten on the way.
  [[nodiscard]] bool pick(Market& market, Placed& picked);
  [[nodiscard]] Quantity size(const InstrumentConfig& config);
  [[nodiscard]] Price away(const InstrumentConfig& config, const Market& market, Side side);

  OrderFlowConfig config_;
  Random random_;
  std::vector<Market> markets_;
  InputNumber input_;
  OrderId order_;
  double elapsed_ns_ = 0;
};

}  // namespace millrace::matching
