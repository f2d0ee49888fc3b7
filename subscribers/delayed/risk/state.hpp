// What the risk engine knows: three parts, each a function of the events of one topic up to an offset and of nothing
// else. So the same offsets give the same state, to the byte, in whatever order the topics were read against each
// other: live, after a crash, or from the logs alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/state_bytes.hpp"
#include "schemas/families.hpp"
#include "subscribers/delayed/risk/position.hpp"

namespace millrace::delayed::risk {

// How far a topic was read.
struct Read {
  Offset end;  // one past the last
  WallTime newest;

  bool operator==(const Read&) const = default;
};

// trade_events: positions, and what each instrument last traded at. An instrument's scales are the most digits that any
// of its trades had so far.
class Trades {
 public:
  struct Instrument;
  struct Held {
    Position position;
    bool broken = false;  // a number did not fit: the rest is of no meaning, for good
  };
  struct Instrument {
    std::uint8_t price_scale = 0;
    std::uint8_t quantity_scale = 0;
    std::int64_t last_price = 0;  // at the scale of that trade
    std::uint8_t last_scale = 0;
    std::map<std::string, Held, std::less<>> held;  // by account
  };
  using Holding = std::map<std::string_view, std::pair<const Instrument*, const Held*>>;  // by instrument

  Trades() = default;
  Trades(Trades&&) = default;
  Trades& operator=(Trades&&) = default;
  ~Trades() = default;

  // A trade of an account with itself changes nothing but the last price; an account that is not named is nobody's.
  void apply(const schemas::TradeEvent& trade);
  [[nodiscard]] const std::map<std::string, Instrument, std::less<>>& instruments() const { return instruments_; }
  // What the account has traded; nullptr if it never did.
  [[nodiscard]] const Holding* holding(std::string_view account) const;

  void save(StateWriter& into) const;
  void restore(StateReader& from);

 private:
  [[nodiscard]] Held& held(std::string_view name, Instrument& instrument, std::string_view account);
  static void widen(Instrument& instrument, std::uint8_t price_scale, std::uint8_t quantity_scale);

  std::map<std::string, Instrument, std::less<>> instruments_;
  std::map<std::string, Holding, std::less<>> accounts_;  // into instruments_
};

// market_l2: each instrument's newest mid.
class Books {
 public:
  struct Mid {
    std::int64_t bid = 0;
    std::int64_t ask = 0;
    std::uint8_t scale = 0;
    bool two_sided = false;
  };

  void apply(const schemas::MarketL2& book);
  // nullopt: there is no book with two sides.
  [[nodiscard]] std::optional<Amount> mid(std::string_view instrument) const;

  void save(StateWriter& into) const;
  void restore(StateReader& from);

 private:
  std::map<std::string, Mid, std::less<>> books_;
};

// account_events: how each account stands in each currency.
class Accounts {
 public:
  struct Standing {
    std::int64_t balance = 0;
    std::int64_t margin = 0;  // at the balance's scale
  };
  using Currencies = std::map<std::string, Standing, std::less<>>;

  void apply(const schemas::AccountEvent& event);
  [[nodiscard]] const Currencies* find(std::string_view account) const;
  [[nodiscard]] const std::map<std::string, Currencies, std::less<>>& all() const { return accounts_; }

  void save(StateWriter& into) const;
  void restore(StateReader& from);

 private:
  std::map<std::string, Currencies, std::less<>> accounts_;
};

struct State {
  Trades trades;
  Books books;
  Accounts accounts;
  Read trades_read;
  Read books_read;
  Read accounts_read;

  // What a position of the instrument is worth a unit: the middle of its book, exactly, or where its book has not both
  // sides, the price of its last trade.
  [[nodiscard]] Amount mark(std::string_view name, const Trades::Instrument& instrument) const;
  [[nodiscard]] WallTime newest() const;

  void save(StateWriter& into) const;
  // False if that is no state.
  [[nodiscard]] bool restore(StateReader& from);
};

}  // namespace millrace::delayed::risk
