#include "schemas/families.hpp"

#include "schemas/account_events_bfbs_generated.h"
#include "schemas/market_l2_bfbs_generated.h"
#include "schemas/order_events_bfbs_generated.h"
#include "schemas/orders_bfbs_generated.h"
#include "schemas/risk_alerts_bfbs_generated.h"
#include "schemas/system_health_bfbs_generated.h"
#include "schemas/trade_events_bfbs_generated.h"

namespace millrace::schemas {
namespace {

template <class Schema>
std::span<const std::byte> bytes_of() {
  return std::as_bytes(std::span(Schema::data(), Schema::size()));
}

}  // namespace

std::span<const std::byte> Family<TradeEvent>::bfbs() {
  return bytes_of<TradeEventBinarySchema>();
}
std::span<const std::byte> Family<AccountEvent>::bfbs() {
  return bytes_of<AccountEventBinarySchema>();
}
std::span<const std::byte> Family<MarketL2>::bfbs() {
  return bytes_of<MarketL2BinarySchema>();
}
std::span<const std::byte> Family<OrderEvent>::bfbs() {
  return bytes_of<OrderEventBinarySchema>();
}
std::span<const std::byte> Family<HealthEvent>::bfbs() {
  return bytes_of<HealthEventBinarySchema>();
}
std::span<const std::byte> Family<OrderCommand>::bfbs() {
  return bytes_of<OrderCommandBinarySchema>();
}
std::span<const std::byte> Family<RiskAlert>::bfbs() {
  return bytes_of<RiskAlertBinarySchema>();
}

}  // namespace millrace::schemas
