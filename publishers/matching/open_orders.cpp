#include "publishers/matching/open_orders.hpp"

#include <utility>

namespace millrace::matching {

const OpenOrder* OpenOrders::find(OrderId id) const {
  const auto slot = index_.find(id);
  return slot == OrderIndex::kNone ? nullptr : &orders_[slot];
}

OpenOrder* OpenOrders::find(OrderId id) {
  return const_cast<OpenOrder*>(std::as_const(*this).find(id));
}

OpenOrder* OpenOrders::find(AccountId account, std::string_view client_order_id) {
  if (client_order_id.empty()) return nullptr;
  const auto found = names_.find(Name{account, std::string(client_order_id)});
  return found == names_.end() ? nullptr : find(found->second);
}

void OpenOrders::add(const OpenOrder& order) {
  std::uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(orders_.size());
    orders_.push_back(order);
  } else {
    slot = free_.back();
    free_.pop_back();
    orders_[slot] = order;
  }
  index_.insert(order.id, slot);
  if (const auto name = schemas::text(order.client_order_id); !name.empty()) {
    names_.emplace(Name{order.account, std::string(name)}, order.id);
  }
}

void OpenOrders::erase(OrderId id) {
  const auto slot = index_.find(id);
  if (slot == OrderIndex::kNone) return;
  const auto& order = orders_[slot];
  if (const auto name = schemas::text(order.client_order_id); !name.empty()) {
    names_.erase(Name{order.account, std::string(name)});
  }
  index_.erase(id);
  free_.push_back(slot);
}

}  // namespace millrace::matching
