// The event families that come with millrace, as C++ types: which number, name and schema a generated table stands for.
// A program that compiles a schema of its own specializes Family for its root table.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "bus/base/frame.hpp"
#include "schemas/account_events_generated.h"
#include "schemas/market_l2_generated.h"
#include "schemas/order_events_generated.h"
#include "schemas/orders_generated.h"
#include "schemas/risk_alerts_generated.h"
#include "schemas/system_health_generated.h"
#include "schemas/text.hpp"
#include "schemas/trade_events_generated.h"

namespace millrace::schemas {

// First number of users' own event types.
inline constexpr EventTypeId first_user_event_type{1000};

template <class Root>
struct Family;

#define MILLRACE_FAMILY(Root, number, family_name)                                            \
  template <>                                                                                 \
  struct Family<Root> {                                                                       \
    static constexpr EventTypeId id{number};                                                  \
    static constexpr std::string_view name = family_name;                                     \
    [[nodiscard]] static std::span<const std::byte> bfbs(); /* the binary schema, built in */ \
  }

MILLRACE_FAMILY(TradeEvent, 1, "trade_events");
MILLRACE_FAMILY(AccountEvent, 2, "account_events");
MILLRACE_FAMILY(MarketL2, 3, "market_l2");
MILLRACE_FAMILY(OrderEvent, 4, "order_events");
MILLRACE_FAMILY(HealthEvent, 5, "system.health");
MILLRACE_FAMILY(OrderCommand, 6, "orders");
MILLRACE_FAMILY(RiskAlert, 7, "risk_alerts");

#undef MILLRACE_FAMILY

}  // namespace millrace::schemas
