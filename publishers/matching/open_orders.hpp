// What was said of the open orders of one instrument when they were entered, as far as the engine has no use for it but
// the order events repeat it; and the names that their owners gave them.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "publishers/matching/order.hpp"
#include "publishers/matching/order_index.hpp"
#include "schemas/families.hpp"

namespace millrace::matching {

struct OpenOrder {
  OrderId id;
  AccountId account;
  schemas::Text32 client_order_id;
  schemas::Side side = schemas::Side::none;
  schemas::OrderType type = schemas::OrderType::limit;
  schemas::TimeInForce time_in_force = schemas::TimeInForce::day;
  Price price;
  Quantity quantity;
};

class OpenOrders {
 public:
  explicit OpenOrders(std::uint32_t expected) : index_(expected) { orders_.reserve(expected); }

  // nullptr if there is none. Valid until the next add.
  [[nodiscard]] OpenOrder* find(OrderId id);
  [[nodiscard]] const OpenOrder* find(OrderId id) const;
  [[nodiscard]] OpenOrder* find(AccountId account, std::string_view client_order_id);
  // Neither the id nor, unless it is empty, the account's name for it may be there.
  void add(const OpenOrder& order);
  // Nothing if there is none.
  void erase(OrderId id);

  [[nodiscard]] std::uint64_t size() const { return index_.size(); }

 private:
  struct Name {
    AccountId account;
    std::string client_order_id;

    bool operator==(const Name&) const = default;
  };
  struct NameHash {
    std::size_t operator()(const Name& name) const {
      return std::hash<std::string_view>()(name.client_order_id) ^ name.account.value() * 0x9e3779b97f4a7c15ULL;
    }
  };

  OrderIndex index_;
  std::vector<OpenOrder> orders_;
  std::vector<std::uint32_t> free_;  // slots of orders_
  std::unordered_map<Name, OrderId, NameHash> names_;
};

}  // namespace millrace::matching
