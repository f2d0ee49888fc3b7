// For tests: the rules of the engine written down once more, as plainly as possible: every resting order stands in one
// vector in order of time, every question is answered by looking at all of them, an auction tries every price.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <tuple>
#include <vector>

#include "publishers/matching/test_exchange.hpp"

namespace millrace::matching {

class ReferenceModel {
 public:
  explicit ReferenceModel(InstrumentConfig config)
      : config_(std::move(config)), phase_(config_.phase), reference_(config_.reference) {}

  // The events of one command for instrument 0.
  std::vector<Event> apply(const Input& input, const Command& command) {
    input_ = input;
    events_.clear();
    const auto before = levels();
    std::visit([&](const auto& one) { on(one); }, command);
    if (levels() != before) emit(BookChanged{{}, ++sequence_});
    return events_;
  }

  [[nodiscard]] Depth depth() const {
    auto depth = levels();
    depth.sequence = sequence_;
    return depth;
  }

  [[nodiscard]] std::optional<Uncross> indicative() const {
    Price low = kPriceMax;
    Price high;
    for (const auto& order : resting_) {
      low = std::min(low, order.price);
      high = std::max(high, order.price);
    }
    std::optional<Uncross> best;
    std::tuple<std::int64_t, std::int64_t, bool, std::int64_t> best_key;
    for (auto price = low; price <= high; price += config_.tick) {
      Quantity demand, supply, better_demand, better_supply;
      for (const auto& o : resting_) {
        if (o.side == Side::buy && o.price >= price) demand += o.remaining;
        if (o.side == Side::buy && o.price > price) better_demand += o.remaining;
        if (o.side == Side::sell && o.price <= price) supply += o.remaining;
        if (o.side == Side::sell && o.price < price) better_supply += o.remaining;
      }
      const auto volume = std::min(demand, supply);
      if (volume == Quantity{0}) continue;
      const auto key =
          std::tuple(-volume.units, std::abs((demand - supply).units), better_demand > volume || better_supply > volume,
                     std::abs((price - reference_).units));
      if (!best || key < best_key) {
        best = Uncross{price, volume, demand - supply};
        best_key = key;
      }
    }
    return best;
  }

  [[nodiscard]] const std::vector<RestingOrder>& resting() const { return resting_; }
  [[nodiscard]] Phase phase() const { return phase_; }

 private:
  using Iterator = std::vector<RestingOrder>::iterator;

  template <class Event>
  void emit(Event event) {
    event.head = {input_.number, static_cast<std::uint32_t>(events_.size()), InstrumentId(0), input_.time};
    events_.emplace_back(event);
  }

  void reject(CommandKind kind, OrderId order, AccountId account, RejectReason reason) {
    emit(Rejected{{}, kind, order, account, reason});
  }

  [[nodiscard]] static bool better(Side side, Price one, Price other) {
    return side == Side::buy ? one > other : one < other;
  }

  Iterator find(OrderId id) {
    return std::find_if(resting_.begin(), resting_.end(), [&](const auto& order) { return order.id == id; });
  }

  Iterator best(Side side) {
    auto found = resting_.end();
    for (auto it = resting_.begin(); it != resting_.end(); ++it) {
      if (it->side == side && (found == resting_.end() || better(side, it->price, found->price))) found = it;
    }
    return found;
  }

  [[nodiscard]] Depth levels() const {
    Depth depth;
    for (const auto side : {Side::buy, Side::sell}) {
      auto& levels = side == Side::buy ? depth.bid_levels : depth.ask_levels;
      auto& count = side == Side::buy ? depth.bid_count : depth.ask_count;
      std::vector<DepthLevel> all;
      for (const auto& order : resting_) {
        if (order.side != side) continue;
        auto level = std::find_if(all.begin(), all.end(), [&](const auto& l) { return l.price == order.price; });
        if (level == all.end()) level = all.insert(all.end(), DepthLevel{order.price, Quantity{0}, 0});
        level->quantity += order.remaining;
        ++level->orders;
      }
      std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) { return better(side, a.price, b.price); });
      count = static_cast<std::uint32_t>(std::min<std::size_t>(all.size(), kDepthLevels));
      std::copy_n(all.begin(), count, levels.begin());
    }
    return depth;
  }

  [[nodiscard]] std::optional<RejectReason> grid(Price price, Quantity quantity, bool with_price) const {
    if (with_price && (price < config_.price_min || price > config_.price_max)) return RejectReason::price_out_of_range;
    if (with_price && price.units % config_.tick.units != 0) return RejectReason::bad_tick;
    if (quantity < Quantity{1} || quantity > config_.quantity_max) return RejectReason::quantity_out_of_range;
    if (quantity.units % config_.lot.units != 0) return RejectReason::bad_lot;
    return std::nullopt;
  }

  bool would_trade(Side side, Price price) {
    const auto maker = best(opposite(side));
    return maker != resting_.end() && !better(side, maker->price, price);
  }

  // Plays the order on a copy of the model.
  [[nodiscard]] bool would_fill(const NewOrder& order) const {
    auto copy = *this;
    auto taker = taker_of(order);
    return copy.match(taker) && taker.remaining == Quantity{0};
  }

  [[nodiscard]] std::optional<RejectReason> check(const NewOrder& order) {
    if (order.instrument != InstrumentId(0)) return RejectReason::unknown_instrument;
    if (order.order == OrderId(0)) return RejectReason::malformed;
    if (phase_ == Phase::halted) return RejectReason::halted;
    if (phase_ == Phase::closed) return RejectReason::closed;
    if (phase_ == Phase::auction && order.kind != OrderKind::limit) return RejectReason::not_in_auction;
    if (find(order.order) != resting_.end()) return RejectReason::duplicate_order;
    if (const auto bad = grid(order.price, order.quantity, order.kind != OrderKind::market)) return bad;
    const bool rests = order.kind == OrderKind::limit || order.kind == OrderKind::post_only;
    if (rests && resting_.size() >= config_.orders_max) return RejectReason::book_full;
    if (order.kind == OrderKind::post_only && would_trade(order.side, order.price)) return RejectReason::would_cross;
    if (order.kind == OrderKind::fok && !would_fill(order)) return RejectReason::would_not_fill;
    if (order.kind == OrderKind::market && best(opposite(order.side)) == resting_.end()) {
      return RejectReason::no_liquidity;
    }
    return std::nullopt;
  }

  [[nodiscard]] static RestingOrder taker_of(const NewOrder& order) {
    auto price = order.price;
    if (order.kind == OrderKind::market) price = order.side == Side::buy ? kPriceMax : Price{0};
    return {.id = order.order,
            .account = order.account,
            .price = price,
            .quantity = order.quantity,
            .remaining = order.quantity,
            .side = order.side,
            .kind = order.kind};
  }

  // False if self-trade prevention ended the taker.
  bool match(RestingOrder& taker) {
    while (taker.remaining > Quantity{0} && would_trade(taker.side, taker.price)) {
      const auto maker = best(opposite(taker.side));
      const bool self = maker->account == taker.account && taker.account != AccountId(0);
      if (self && config_.self_trade != SelfTrade::allow) {
        if (config_.self_trade != SelfTrade::cancel_newest) {
          emit(Cancelled{{}, maker->id, maker->account, maker->remaining, CancelReason::self_trade});
          resting_.erase(maker);
        }
        if (config_.self_trade != SelfTrade::cancel_oldest) return false;
        continue;
      }
      auto& buyer = taker.side == Side::buy ? taker : *maker;
      auto& seller = taker.side == Side::buy ? *maker : taker;
      trade(buyer, seller, std::min(taker.remaining, maker->remaining), maker->price,
            taker.side == Side::buy ? Aggressor::buy : Aggressor::sell);
      if (maker->remaining == Quantity{0}) resting_.erase(maker);
    }
    return true;
  }

  void trade(RestingOrder& buyer, RestingOrder& seller, Quantity quantity, Price price, Aggressor aggressor) {
    buyer.remaining -= quantity;
    seller.remaining -= quantity;
    emit(Trade{{},
               ++trades_,
               price,
               quantity,
               aggressor,
               {buyer.id, buyer.account, buyer.remaining},
               {seller.id, seller.account, seller.remaining}});
  }

  // Trades, then rests or ends.
  void enter(const RestingOrder& arriving, bool may_rest) {
    auto order = arriving;
    if (phase_ == Phase::continuous && !match(order)) {
      emit(Cancelled{{}, order.id, order.account, order.remaining, CancelReason::self_trade});
    } else if (order.remaining > Quantity{0} && may_rest) {
      resting_.push_back(order);
    } else if (order.remaining > Quantity{0}) {
      emit(Expired{{}, order.id, order.account, order.remaining, ExpireReason::unfilled});
    }
  }

  void on(const NewOrder& order) {
    if (const auto bad = check(order)) return reject(CommandKind::new_order, order.order, order.account, *bad);
    emit(Accepted{{}, order});
    enter(taker_of(order), order.kind == OrderKind::limit || order.kind == OrderKind::post_only);
  }

  void on(const CancelOrder& command) {
    const auto order = find(command.order);
    std::optional<RejectReason> bad;
    if (command.instrument != InstrumentId(0)) {
      bad = RejectReason::unknown_instrument;
    } else if (order == resting_.end()) {
      bad = RejectReason::unknown_order;
    } else if (order->account != command.account) {
      bad = RejectReason::not_owner;
    }
    if (bad) return reject(CommandKind::cancel, command.order, command.account, *bad);
    emit(Cancelled{{}, order->id, order->account, order->remaining, CancelReason::requested});
    resting_.erase(order);
  }

  [[nodiscard]] std::optional<RejectReason> check(const ReplaceOrder& command) {
    if (command.instrument != InstrumentId(0)) return RejectReason::unknown_instrument;
    if (phase_ == Phase::halted) return RejectReason::halted;
    if (phase_ == Phase::closed) return RejectReason::closed;
    const auto order = find(command.order);
    if (order == resting_.end()) return RejectReason::unknown_order;
    if (order->account != command.account) return RejectReason::not_owner;
    if (const auto bad = grid(command.price, command.quantity, true)) return bad;
    if (command.quantity <= order->quantity - order->remaining) return RejectReason::already_filled;
    if (order->kind == OrderKind::post_only && phase_ == Phase::continuous && would_trade(order->side, command.price)) {
      return RejectReason::would_cross;
    }
    return std::nullopt;
  }

  void on(const ReplaceOrder& command) {
    if (const auto bad = check(command)) return reject(CommandKind::replace, command.order, command.account, *bad);
    const auto found = find(command.order);
    const bool kept = found->price == command.price && command.quantity <= found->quantity;
    auto order = *found;
    order.remaining = command.quantity - (order.quantity - order.remaining);
    order.quantity = command.quantity;
    order.price = command.price;
    emit(Replaced{{}, order.id, order.account, order.price, order.quantity, order.remaining, kept});
    if (kept) {
      *found = order;
      return;
    }
    resting_.erase(found);
    enter(order, true);
  }

  void on(const SetPhase& command) {
    std::optional<RejectReason> bad;
    if (command.instrument != InstrumentId(0)) {
      bad = RejectReason::unknown_instrument;
    } else if (command.reference != Price{0}) {
      bad = grid(command.reference, config_.lot, true);
    }
    if (bad) return reject(CommandKind::set_phase, OrderId(0), AccountId(0), *bad);
    phase_ = command.phase;
    if (command.reference != Price{0}) reference_ = command.reference;
    std::optional<Uncross> at;
    if (phase_ == Phase::continuous || phase_ == Phase::closed) at = indicative();
    emit(PhaseChanged{{}, phase_, at ? at->price : Price{0}, at ? at->volume : Quantity{0}});
    while (at && at->volume > Quantity{0}) {
      const auto buyer = best(Side::buy);
      const auto seller = best(Side::sell);
      const auto quantity = std::min({at->volume, buyer->remaining, seller->remaining});
      at->volume -= quantity;
      trade(*buyer, *seller, quantity, at->price, Aggressor::none);
      std::erase_if(resting_, [](const auto& order) { return order.remaining == Quantity{0}; });
    }
  }

  void on(const ExpireOrders& command) {
    if (command.instrument != InstrumentId(0)) {
      return reject(CommandKind::expire, OrderId(0), AccountId(0), RejectReason::unknown_instrument);
    }
    for (const auto side : {Side::buy, Side::sell}) {
      for (auto order = best(side); order != resting_.end(); order = best(side)) {
        emit(Expired{{}, order->id, order->account, order->remaining, ExpireReason::session_end});
        resting_.erase(order);
      }
    }
  }

  InstrumentConfig config_;
  Phase phase_;
  Price reference_;
  TradeNumber trades_;
  BookSequence sequence_;
  std::vector<RestingOrder> resting_;
  Input input_;
  std::vector<Event> events_;
};

}  // namespace millrace::matching
