// What each event of a torture run says about itself, so that whoever reads it can judge it alone: which publisher,
// which of its lives, the how many-th of that life, the sequence it was meant to have, and a checksum of all that.
#pragma once

#include <cstdint>
#include <optional>

#include "bus/base/ids.hpp"
#include "schemas/families.hpp"

namespace millrace::torture {

inline constexpr const char* topic_name = "trade_events";

struct Stamp {
  std::uint32_t slot = 0;      // the publisher's place in the run
  std::uint64_t life = 0;      // the how many-th process of that place
  std::uint64_t number = 0;    // the publisher's own count within that life, from 0
  std::uint64_t sequence = 0;  // as the publisher knew it before it published

  [[nodiscard]] std::uint64_t base() const { return sequence - number; }
};

[[nodiscard]] inline std::uint64_t checksum_of(const Stamp& stamp, PublisherId publisher) {
  std::uint64_t sum = publisher.value();
  for (const std::uint64_t word : {std::uint64_t{stamp.slot}, stamp.life, stamp.number, stamp.sequence}) {
    sum = (sum ^ word) * 0x9E37'79B9'7F4A'7C15;
    sum ^= sum >> 29;
  }
  return sum;
}

inline void write_stamp(const Stamp& stamp, PublisherId publisher, schemas::TradeEvent& trade) {
  trade.mutate_buy_order_id(stamp.life);
  trade.mutate_sell_order_id(stamp.number);
  trade.mutate_price(static_cast<std::int64_t>(stamp.sequence));
  trade.mutate_quantity(stamp.slot);
  trade.mutate_match_time(static_cast<std::int64_t>(checksum_of(stamp, publisher)));
}

// nullopt: this event was not written by `publisher` under `sequence`.
[[nodiscard]] inline std::optional<Stamp> read_stamp(const schemas::TradeEvent& trade, PublisherId publisher,
                                                     Sequence sequence) {
  const Stamp stamp{static_cast<std::uint32_t>(trade.quantity()), trade.buy_order_id(), trade.sell_order_id(),
                    static_cast<std::uint64_t>(trade.price())};
  const bool sound = stamp.sequence == sequence.value() && stamp.number < stamp.sequence &&
                     static_cast<std::uint64_t>(trade.match_time()) == checksum_of(stamp, publisher);
  return sound ? std::optional(stamp) : std::nullopt;
}

}  // namespace millrace::torture
