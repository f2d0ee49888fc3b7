#include "publishers/matching/order_flow.hpp"

#include <algorithm>
#include <utility>

#include "bus/base/assert.hpp"

namespace millrace::matching {
namespace {

constexpr std::int64_t kDistanceMax = 400;  // ticks from the middle
constexpr std::int64_t kSizeMax = 50;       // lots

InstrumentConfig instrument(const char* name, std::uint8_t price_scale, std::uint8_t quantity_scale, std::int64_t tick,
                            std::int64_t lot, std::int64_t reference) {
  InstrumentConfig config;
  config.name = name;
  config.price_scale = price_scale;
  config.quantity_scale = quantity_scale;
  config.tick = Price{tick};
  config.lot = Quantity{lot};
  config.reference = Price{reference};
  return config;
}

}  // namespace

std::vector<InstrumentConfig> demo_instruments() {
  return {instrument("MILL", 2, 0, 1, 1, 125'00), instrument("RACE", 3, 0, 5, 100, 48'250),
          instrument("FLUX", 4, 3, 25, 10, 3'1500), instrument("WEIR", 2, 8, 10, 100'000, 61'250'00)};
}

OrderFlow::OrderFlow(OrderFlowConfig config) : config_(std::move(config)), random_(config_.seed) {
  MILLRACE_ASSERT(config_.commands_per_second > 0 && config_.accounts > 0, "order flow needs a rate and accounts");
  MILLRACE_ASSERT(!config_.instruments.empty(), "order flow needs an instrument");
  for (const auto& one : config_.instruments) {
    MILLRACE_ASSERT(one.reference > Price{0}, "order flow needs each instrument's reference price");
    markets_.push_back({one.reference, {}});
    markets_.back().resting.reserve(config_.resting_target * 2);
  }
}

TimedCommand OrderFlow::next() {
  elapsed_ns_ += random_.exponential() * 1e9 / config_.commands_per_second;
  const WallTime time{config_.start.ns + static_cast<std::int64_t>(elapsed_ns_)};
  // The first instruments are the busier ones.
  const auto pick = std::min(random_.below(markets_.size()), random_.below(markets_.size()));
  return {{++input_, time}, next_for(InstrumentId(pick))};
}

Command OrderFlow::next_for(InstrumentId instrument) {
  auto& market = markets_[instrument.value()];
  const auto& config = config_.instruments[instrument.value()];
  if (random_.chance(0.002)) drift(config, market);
  // In balance half of the commands place orders; the more rest, the more are taken away.
  const auto full = std::min<std::uint64_t>(market.resting.size() * 500 / config_.resting_target, 1000);
  const auto dice = random_.below(1000);
  if (dice < 60) return take(instrument);
  if (dice < 120 || random_.below(1000) < full) {
    if (Placed picked; pick(market, picked)) {
      if (dice >= 120) return CancelOrder{instrument, picked.order, picked.account};
      // Half of the replaces only make the order smaller, the others follow the market.
      if (random_.chance(0.5) && picked.quantity > config.lot) {
        picked.quantity -= config.lot;
      } else {
        picked.price = away(config, market, picked.side);
      }
      market.resting.push_back(picked);
      return ReplaceOrder{instrument, picked.order, picked.account, picked.price, picked.quantity};
    }
  }
  return place(instrument);
}

Command OrderFlow::place(InstrumentId instrument) {
  auto& market = markets_[instrument.value()];
  const auto& config = config_.instruments[instrument.value()];
  const auto side = random_.chance(0.5) ? Side::buy : Side::sell;
  const Placed placed{++order_, AccountId(1 + random_.below(config_.accounts)), side, away(config, market, side),
                      size(config)};
  market.resting.push_back(placed);
  const auto kind = random_.chance(0.1) ? OrderKind::post_only : OrderKind::limit;
  return NewOrder{instrument, placed.order, placed.account, side, kind, placed.price, placed.quantity};
}

// Orders that mean to trade now.
Command OrderFlow::take(InstrumentId instrument) {
  auto& market = markets_[instrument.value()];
  const auto& config = config_.instruments[instrument.value()];
  const auto side = random_.chance(0.5) ? Side::buy : Side::sell;
  const auto dice = random_.below(100);
  const auto kind = dice < 40 ? OrderKind::market : dice < 90 ? OrderKind::ioc : OrderKind::fok;
  // Through the touch by a few ticks.
  const auto through = config.tick.units * random_.between(1, 5);
  const Price price{market.middle.units + (side == Side::buy ? through : -through)};
  return NewOrder{instrument,  ++order_, AccountId(1 + random_.below(config_.accounts)),
                  side,        kind,     std::clamp(price, config.tick, config.price_max),
                  size(config)};
}

void OrderFlow::drift(const InstrumentConfig& config, Market& market) {
  const auto step = random_.chance(0.5) ? config.tick : Price{-config.tick.units};
  // Stays within half and double the reference, so that a long demo never runs into the band or zero.
  const auto next = market.middle + step;
  if (next.units > config.reference.units / 2 && next.units < config.reference.units * 2) market.middle = next;
}

bool OrderFlow::pick(Market& market, Placed& picked) {
  auto& resting = market.resting;
  while (!resting.empty()) {
    std::swap(resting[random_.below(resting.size())], resting.back());
    picked = resting.back();
    resting.pop_back();
    const bool passed = picked.side == Side::buy ? picked.price > market.middle : picked.price < market.middle;
    if (!passed) return true;
  }
  return false;
}

Quantity OrderFlow::size(const InstrumentConfig& config) {
  return Quantity{config.lot.units * random_.power_law(kSizeMax)};
}

Price OrderFlow::away(const InstrumentConfig& config, const Market& market, Side side) {
  const auto distance = config.tick.units * random_.power_law(kDistanceMax);
  return {side == Side::buy ? std::max(market.middle.units - distance, config.tick.units)
                            : market.middle.units + distance};
}

}  // namespace millrace::matching
