// Events of fixed shape are made in place: a finished FlatBuffer is copied into the page, then its fields are set
// through the generated mutable accessors.
//
//   static const EventTemplate<TradeEvent> trade;
//   TradeEvent* event = trade.instantiate(claimed);
//   event->mutate_price(1808080);
//   set_text(event->mutable_instrument(), "600519");
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "bus/base/assert.hpp"
#include "bus/base/result.hpp"
#include "schemas/families.hpp"

namespace millrace::schemas {

// A FlatBuffer of `schema`'s root table in which every field has its slot: scalars at their defaults, structs zero.
// Its size is a multiple of 8. Error if the table has a field that is not of fixed size, or the schema is not sound.
[[nodiscard]] Result<std::vector<std::byte>> make_template(std::span<const std::byte> schema);

// Immutable once made; any thread.
template <class T>
class EventTemplate {
 public:
  EventTemplate() {
    auto made = make_template(Family<T>::bfbs());
    MILLRACE_ASSERT(made.has_value(), "only a table of fixed shape has a template");
    bytes_ = std::move(*made);
  }

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  // Copies the template to the front of `into`, which is 8-byte aligned and holds size() bytes. The table lives there.
  [[nodiscard]] T* instantiate(std::span<std::byte> into) const {
    MILLRACE_DEBUG_ASSERT(into.size() >= bytes_.size(), "claim at least size() bytes");
    std::memcpy(into.data(), bytes_.data(), bytes_.size());
    return flatbuffers::GetMutableRoot<T>(into.data());
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace millrace::schemas
