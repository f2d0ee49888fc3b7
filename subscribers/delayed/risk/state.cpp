#include "subscribers/delayed/risk/state.hpp"

#include <algorithm>
#include <utility>

#include "schemas/decimal.hpp"
#include "schemas/text.hpp"

namespace millrace::delayed::risk {
namespace {

void put(StateWriter& into, Wide value) {
  into.put(static_cast<std::uint64_t>(value));
  into.put(static_cast<std::int64_t>(value >> 64));
}

Wide get_wide(StateReader& from) {
  const auto low = from.get<std::uint64_t>();
  const auto high = from.get<std::int64_t>();
  return Wide{high} * (Wide{1} << 64) + low;
}

void put(StateWriter& into, const Read& read) {
  into.put(read.end.value());
  into.put(read.newest.ns);
}

Read get_read(StateReader& from) {
  const Offset end(from.get<std::uint64_t>());
  return {end, {from.get<std::int64_t>()}};
}

template <class Map>
auto& entry(Map& map, std::string_view name) {
  const auto found = map.find(name);
  return found != map.end() ? *found : *map.try_emplace(std::string(name)).first;
}

// Calls `one(name)` for each entry that save() wrote.
template <class One>
void restore_each(StateReader& from, One&& one) {
  const auto count = from.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < count && from.sound(); ++i) one(std::string(from.get_text()));
}

std::uint8_t get_scale(StateReader& from) {
  const auto scale = from.get<std::uint8_t>();
  if (scale > kScaleMax) from.refuse();
  return scale;
}

}  // namespace

Trades::Held& Trades::held(std::string_view name, Instrument& instrument, std::string_view account) {
  auto& [account_name, held] = entry(instrument.held, account);
  entry(accounts_, account_name).second.insert({name, {&instrument, &held}});
  return held;
}

void Trades::widen(Instrument& instrument, std::uint8_t price_scale, std::uint8_t quantity_scale) {
  const unsigned price_digits = price_scale - instrument.price_scale;
  const unsigned quantity_digits = quantity_scale - instrument.quantity_scale;
  if (price_digits == 0 && quantity_digits == 0) return;
  for (auto& [account, held] : instrument.held) {
    if (!held.position.rescale(price_digits, quantity_digits)) held.broken = true;
  }
  instrument.price_scale = price_scale;
  instrument.quantity_scale = quantity_scale;
}

void Trades::apply(const schemas::TradeEvent& trade) {
  auto& [name, instrument] = entry(instruments_, schemas::text(trade.instrument()));
  const bool sound = trade.price_scale() <= kScaleMax && trade.quantity_scale() <= kScaleMax && trade.quantity() >= 0;
  std::optional<std::int64_t> price, quantity;
  if (sound) {
    widen(instrument, std::max(instrument.price_scale, trade.price_scale()),
          std::max(instrument.quantity_scale, trade.quantity_scale()));
    price = schemas::rescale({trade.price(), trade.price_scale()}, instrument.price_scale);
    quantity = schemas::rescale({trade.quantity(), trade.quantity_scale()}, instrument.quantity_scale);
    instrument.last_price = trade.price();
    instrument.last_scale = trade.price_scale();
  }
  const auto buyer = schemas::text(trade.buyer_account());
  const auto seller = schemas::text(trade.seller_account());
  if (buyer == seller) return;
  for (const auto& [account, sign] : {std::pair(buyer, 1), std::pair(seller, -1)}) {
    if (account.empty()) continue;
    Held& one = held(name, instrument, account);
    if (one.broken) continue;
    one.broken = !price || !quantity || !one.position.trade(sign * *quantity, *price);
  }
}

const Trades::Holding* Trades::holding(std::string_view account) const {
  const auto found = accounts_.find(account);
  return found != accounts_.end() ? &found->second : nullptr;
}

void Trades::save(StateWriter& into) const {
  into.put(std::uint64_t{instruments_.size()});
  for (const auto& [name, instrument] : instruments_) {
    into.put(std::string_view(name));
    into.put(instrument.price_scale);
    into.put(instrument.quantity_scale);
    into.put(instrument.last_price);
    into.put(instrument.last_scale);
    into.put(std::uint64_t{instrument.held.size()});
    for (const auto& [account, held] : instrument.held) {
      into.put(std::string_view(account));
      into.put(held.broken);
      into.put(held.position.quantity);
      put(into, held.position.cost);
      put(into, held.position.realised);
    }
  }
}

void Trades::restore(StateReader& from) {
  restore_each(from, [&](const std::string& text) {
    auto& [name, instrument] = entry(instruments_, text);
    instrument.price_scale = get_scale(from);
    instrument.quantity_scale = get_scale(from);
    instrument.last_price = from.get<std::int64_t>();
    instrument.last_scale = get_scale(from);
    restore_each(from, [&, &name = name, &instrument = instrument](const std::string& account) {
      Held& one = held(name, instrument, account);
      one.broken = from.get<std::uint8_t>() != 0;
      one.position.quantity = from.get<std::int64_t>();
      one.position.cost = get_wide(from);
      one.position.realised = get_wide(from);
    });
  });
}

void Books::apply(const schemas::MarketL2& book) {
  // An event may leave a side out, which then has no levels.
  const auto best = [](const schemas::Levels* side) { return side != nullptr ? side->levels()->Get(0) : nullptr; };
  const schemas::Level* const bid = best(book.bids());
  const schemas::Level* const ask = best(book.asks());
  const bool sound = book.price_scale() <= kScaleMax && bid != nullptr && ask != nullptr;
  const bool two_sided = sound && bid->quantity() > 0 && ask->quantity() > 0;
  entry(books_, schemas::text(book.instrument())).second =
      two_sided ? Mid{bid->price(), ask->price(), book.price_scale(), true} : Mid{};
}

std::optional<Amount> Books::mid(std::string_view instrument) const {
  const auto found = books_.find(instrument);
  if (found == books_.end() || !found->second.two_sided) return std::nullopt;
  const Mid& mid = found->second;
  return Amount{(Wide{mid.bid} + mid.ask) * 5, mid.scale + 1U};
}

void Books::save(StateWriter& into) const {
  into.put(std::uint64_t{books_.size()});
  for (const auto& [name, mid] : books_) {
    into.put(std::string_view(name));
    into.put(mid.bid);
    into.put(mid.ask);
    into.put(mid.scale);
    into.put(mid.two_sided);
  }
}

void Books::restore(StateReader& from) {
  restore_each(from, [&](const std::string& name) {
    Mid& mid = books_[name];
    mid.bid = from.get<std::int64_t>();
    mid.ask = from.get<std::int64_t>();
    mid.scale = get_scale(from);
    mid.two_sided = from.get<std::uint8_t>() != 0;
  });
}

void Accounts::apply(const schemas::AccountEvent& event) {
  Currencies& currencies = entry(accounts_, schemas::text(event.account())).second;
  entry(currencies, schemas::text(event.currency())).second = {event.balance(), event.margin()};
}

const Accounts::Currencies* Accounts::find(std::string_view account) const {
  const auto found = accounts_.find(account);
  return found != accounts_.end() ? &found->second : nullptr;
}

void Accounts::save(StateWriter& into) const {
  into.put(std::uint64_t{accounts_.size()});
  for (const auto& [name, currencies] : accounts_) {
    into.put(std::string_view(name));
    into.put(std::uint64_t{currencies.size()});
    for (const auto& [currency, standing] : currencies) {
      into.put(std::string_view(currency));
      into.put(standing.balance);
      into.put(standing.margin);
    }
  }
}

void Accounts::restore(StateReader& from) {
  restore_each(from, [&](const std::string& name) {
    Currencies& currencies = accounts_[name];
    restore_each(from, [&](const std::string& currency) {
      Standing& standing = currencies[currency];
      standing.balance = from.get<std::int64_t>();
      standing.margin = from.get<std::int64_t>();
    });
  });
}

Amount State::mark(std::string_view name, const Trades::Instrument& instrument) const {
  if (const auto mid = books.mid(name)) return *mid;
  return {instrument.last_price, instrument.last_scale};
}

WallTime State::newest() const {
  return std::max({trades_read.newest, books_read.newest, accounts_read.newest});
}

void State::save(StateWriter& into) const {
  for (const Read* const read : {&trades_read, &books_read, &accounts_read}) put(into, *read);
  trades.save(into);
  books.save(into);
  accounts.save(into);
}

bool State::restore(StateReader& from) {
  for (Read* const read : {&trades_read, &books_read, &accounts_read}) *read = get_read(from);
  trades.restore(from);
  books.restore(from);
  accounts.restore(from);
  return from.sound();
}

}  // namespace millrace::delayed::risk
