#include "publishers/matching/instrument.hpp"

namespace millrace::matching {

Status validate(const InstrumentConfig& config) {
  const auto refuse = [&](const std::string& what) {
    return fail(ErrorCode::invalid_argument, "instrument '" + config.name + "': " + what);
  };
  if (config.name.empty() || config.name.size() > kInstrumentNameBytesMax) {
    return refuse("the name must have 1 to " + std::to_string(kInstrumentNameBytesMax) + " bytes");
  }
  if (config.price_scale > 18 || config.quantity_scale > 18) return refuse("a scale must be at most 18");
  if (config.tick <= Price{0} || config.tick > kPriceMax) return refuse("the tick must be positive");
  if (config.lot <= Quantity{0} || config.lot > kQuantityMax) return refuse("the lot must be positive");
  if (config.price_min <= Price{0} || config.price_max > kPriceMax || config.price_min > config.price_max) {
    return refuse("the price band must lie within 1 and " + std::to_string(kPriceMax.units) + ", lowest first");
  }
  if (config.reference < Price{0} || config.reference > kPriceMax || config.reference.units % config.tick.units != 0) {
    return refuse("the reference price must be a multiple of the tick, or 0 for none");
  }
  if (config.quantity_max < config.lot || config.quantity_max > kQuantityMax) {
    return refuse("quantity_max must lie between the lot and " + std::to_string(kQuantityMax.units));
  }
  if (config.self_trade > SelfTrade::allow) return refuse("self_trade has a value that does not exist");
  if (config.phase > Phase::closed) return refuse("phase has a value that does not exist");
  if (config.orders_max == 0 || config.orders_max > kOrdersMax) {
    return refuse("orders_max must lie between 1 and " + std::to_string(kOrdersMax));
  }
  return {};
}

}  // namespace millrace::matching
