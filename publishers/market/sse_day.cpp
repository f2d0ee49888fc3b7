#include "publishers/market/sse_day.hpp"

#include <algorithm>
#include <utility>

namespace millrace::market {
namespace {

constexpr TimeOfDay continuous_from = time_of_day(9, 30, 0);
constexpr TimeOfDay closing_auction_from = time_of_day(14, 57, 0);
constexpr int continuous_phase = 2;

}  // namespace

Result<SseDay> SseDay::load(const std::string& path, matching::InstrumentId instrument, WallTime midnight) {
  auto reader = SseReader::open(path);
  if (!reader) return fail(std::move(reader).error());
  SseDay day;
  day.instrument_ = instrument;
  day.midnight_ = midnight;
  std::vector<SseOrder> orders;
  std::vector<SseSnapshot> snapshots;
  while (true) {
    auto record = reader->next();
    if (!record) return fail(std::move(record).error());
    if (!*record) break;
    if (const auto* order = std::get_if<SseOrder>(&**record)) {
      orders.push_back(*order);
    } else if (const auto* trade = std::get_if<SseTrade>(&**record)) {
      day.trades_.push_back(*trade);
    } else {
      snapshots.push_back(std::get<SseSnapshot>(**record));
    }
  }
  const auto by_index = [](const auto& a, const auto& b) { return a.index < b.index; };
  std::sort(orders.begin(), orders.end(), by_index);
  std::sort(day.trades_.begin(), day.trades_.end(), by_index);
  if (!snapshots.empty()) day.previous_close_ = snapshots.front().previous_close;
  day.reconstruct(orders);
  day.align(snapshots);
  return day;
}

matching::InstrumentConfig SseDay::instrument_config(std::string name) const {
  matching::InstrumentConfig config;
  config.name = std::move(name);
  config.price_scale = kSseScale.price;
  config.quantity_scale = kSseScale.quantity;
  config.tick = {10};    // 0.01
  config.lot = {1'000};  // one share: orders begin as multiples of 100, but what a sale leaves over may be odd
  config.reference = previous_close_;
  config.phase = matching::Phase::auction;
  return config;
}

void SseDay::add(TimeOfDay time, matching::Command command) {
  commands_.push_back({{matching::InputNumber(commands_.size()), {midnight_.ns + time.ns}}, std::move(command)});
}

void SseDay::reconstruct(const std::vector<SseOrder>& orders) {
  using matching::Phase;
  std::size_t traded = 0;  // trades done by the commands so far
  std::size_t at = 0;      // in orders
  bool closing = false;
  bool auction = true;
  const auto finish_command = [&] { trades_by_.resize(commands_.size(), traded); };

  while (traded < trades_.size() || at < orders.size()) {
    const bool trade_is_next =
        at == orders.size() || (traded < trades_.size() && trades_[traded].index < orders[at].index);
    const TimeOfDay time = trade_is_next ? trades_[traded].time : orders[at].time;
    if (!closing && time >= closing_auction_from) {
      closing = true;
      auction = true;
      const Price reference = traded > 0 ? trades_[traded - 1].price : Price{};
      add(closing_auction_from, matching::SetPhase{instrument_, Phase::auction, reference});
      finish_command();
    }
    if (!trade_is_next) {
      const auto& order = orders[at++];
      if (order.action == SseOrder::Action::cancel) {
        add(time, matching::CancelOrder{instrument_, order.order, {}});
      } else {
        add(time,
            matching::NewOrder{
                instrument_, order.order, {}, order.side, matching::OrderKind::limit, order.price, order.quantity});
        passive_orders_ += !auction;
      }
    } else if (trades_[traded].aggressor == Aggressor::none) {
      while (traded < trades_.size() && trades_[traded].aggressor == Aggressor::none) ++traded;
      add(time, matching::SetPhase{instrument_, closing ? Phase::closed : Phase::continuous, {}});
      auction = false;
    } else {
      const SseTrade first = trades_[traded];
      matching::NewOrder order{instrument_, first.taker(), {}, Side::buy, matching::OrderKind::limit, {}, {}};
      order.side = first.aggressor == Aggressor::buy ? Side::buy : Side::sell;
      while (traded < trades_.size() && trades_[traded].aggressor == first.aggressor &&
             trades_[traded].taker() == first.taker() &&
             (at == orders.size() || trades_[traded].index < orders[at].index)) {
        order.price = trades_[traded].price;
        order.quantity += trades_[traded].quantity;
        ++traded;
      }
      const bool remains =
          at < orders.size() && orders[at].action == SseOrder::Action::add && orders[at].order == order.order;
      if (remains) {
        order.price = orders[at].price;
        order.quantity += orders[at].quantity;
        ++at;
      }
      add(time, order);
      ++aggressive_orders_;
    }
    finish_command();
  }
}

void SseDay::align(const std::vector<SseSnapshot>& snapshots) {
  std::vector<Quantity> volume_by(trades_.size() + 1);
  for (std::size_t i = 0; i < trades_.size(); ++i) volume_by[i + 1] = volume_by[i] + trades_[i].quantity;
  for (const auto& snapshot : snapshots) {
    if (snapshot.phase != continuous_phase || snapshot.time < continuous_from ||
        snapshot.time >= closing_auction_from) {
      continue;
    }
    ExpectedBook book{snapshot.levels};
    const auto [first, end] = std::equal_range(trades_by_.begin(), trades_by_.end(), snapshot.trades);
    if (snapshot.trades < volume_by.size() && volume_by[snapshot.trades] == snapshot.volume) {
      book.first = static_cast<std::uint64_t>(first - trades_by_.begin());
      book.end = static_cast<std::uint64_t>(end - trades_by_.begin());
    }
    books_.push_back(book);
  }
}

}  // namespace millrace::market
