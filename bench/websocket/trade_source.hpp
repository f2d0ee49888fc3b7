// Publishes trades, numbered from 1, at a fixed rate whatever becomes of them (open loop), or flat out. A step
// publishes what is due.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "bus/base/agent.hpp"
#include "bus/bus.hpp"

namespace millrace::bench {

class TradeSource final : public Agent {
 public:
  explicit TradeSource(Publisher publisher) : publisher_(std::move(publisher)) {}

  // The next `count` trades at `rate` a second, 0: flat out. While no runner runs.
  void begin(std::uint64_t count, double rate) {
    first_ = published_ = end_;
    end_ += count;
    rate_ = rate;
    began_ = {};
    late_ns_max_ = 0;
  }

  std::uint64_t do_work(MonotonicTime now) override {
    if (began_.ns == 0) began_ = now;
    const double elapsed_ns = static_cast<double>(now.ns - began_.ns);
    std::uint64_t due = end_;
    if (rate_ > 0) due = std::min(due, first_ + 1 + static_cast<std::uint64_t>(elapsed_ns * rate_ / 1e9));
    if (due == published_) return 0;
    if (rate_ > 0) {
      const double late_ns = elapsed_ns - static_cast<double>(published_ - first_) * 1e9 / rate_;
      late_ns_max_ = std::max(late_ns_max_, static_cast<std::uint64_t>(std::max(late_ns, 0.0)));
    }
    const std::uint64_t before = published_;
    due = std::min(due, before + step_max);
    while (published_ < due && publish(published_ + 1)) ++published_;
    return published_ - before;
  }

  // After the runner has stopped.
  [[nodiscard]] bool done() const { return published_ == end_; }
  [[nodiscard]] std::uint64_t back_pressured() const { return publisher_.back_pressured(); }
  // The longest that an event was published after its time, since begin().
  [[nodiscard]] std::uint64_t late_ns_max() const { return late_ns_max_; }

 private:
  static constexpr std::uint64_t step_max = 256;

  bool publish(std::uint64_t number) {
    return static_cast<bool>(publisher_.publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
      schemas::set_text(trade.mutable_trade_id(), "T-1");
      schemas::set_text(trade.mutable_instrument(), "MILL");
      schemas::set_text(trade.mutable_buyer_account(), "alice");
      schemas::set_text(trade.mutable_seller_account(), "bob");
      trade.mutate_price(1'808'080);
      trade.mutate_quantity(100);
      trade.mutate_price_scale(3);
      trade.mutate_aggressor(schemas::Side::buy);
      trade.mutate_buy_order_id(number);
      trade.mutate_sell_order_id(number + 1);
      trade.mutate_match_time(1'772'415'000'000'000'000);
    }));
  }

  Publisher publisher_;
  double rate_ = 0;
  MonotonicTime began_;
  std::uint64_t first_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t late_ns_max_ = 0;
};

}  // namespace millrace::bench
