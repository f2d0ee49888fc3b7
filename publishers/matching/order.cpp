#include "publishers/matching/order.hpp"

#include <array>
#include <cstddef>

namespace millrace::matching {
namespace {

template <std::size_t Size, class Enum>
std::string_view name_of(const std::array<std::string_view, Size>& names, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  return index < Size ? names[index] : "?";
}

}  // namespace

std::string_view to_string(Side value) {
  static constexpr std::array<std::string_view, 2> kNames{"buy", "sell"};
  return name_of(kNames, value);
}

std::string_view to_string(OrderKind value) {
  static constexpr std::array<std::string_view, 5> kNames{"limit", "market", "ioc", "fok", "post_only"};
  return name_of(kNames, value);
}

std::string_view to_string(Phase value) {
  static constexpr std::array<std::string_view, 4> kNames{"continuous", "auction", "halted", "closed"};
  return name_of(kNames, value);
}

std::string_view to_string(RejectReason value) {
  static constexpr std::array<std::string_view, 17> kNames{"unknown_instrument",
                                                           "malformed",
                                                           "halted",
                                                           "closed",
                                                           "not_in_auction",
                                                           "duplicate_order",
                                                           "unknown_order",
                                                           "not_owner",
                                                           "price_out_of_range",
                                                           "bad_tick",
                                                           "quantity_out_of_range",
                                                           "bad_lot",
                                                           "already_filled",
                                                           "book_full",
                                                           "would_cross",
                                                           "would_not_fill",
                                                           "no_liquidity"};
  return name_of(kNames, value);
}

std::string_view to_string(CommandKind value) {
  static constexpr std::array<std::string_view, 5> kNames{"new_order", "cancel", "replace", "set_phase", "expire"};
  return name_of(kNames, value);
}

std::string_view to_string(Aggressor value) {
  static constexpr std::array<std::string_view, 3> kNames{"buy", "sell", "none"};
  return name_of(kNames, value);
}

std::string_view to_string(CancelReason value) {
  static constexpr std::array<std::string_view, 2> kNames{"requested", "self_trade"};
  return name_of(kNames, value);
}

std::string_view to_string(ExpireReason value) {
  static constexpr std::array<std::string_view, 2> kNames{"unfilled", "session_end"};
  return name_of(kNames, value);
}

}  // namespace millrace::matching
