#include "subscribers/delayed/postgres/tables.hpp"

#include <flatbuffers/flatbuffers.h>

#include <array>

#include "schemas/families.hpp"

namespace millrace::delayed::postgres {
namespace {

using namespace schemas;

template <class T>
const T& root(const Event& event) {
  return *flatbuffers::GetRoot<T>(event.payload().data());
}

// With whatever stands behind a zero: a text that the database refuses is better than one that was cut in silence.
template <FixedText Text>
std::string_view whole(const Text* text) {
  if (text == nullptr) return {};
  std::string_view all(reinterpret_cast<const char*>(text->bytes()->Data()), sizeof(Text));
  const auto last = all.find_last_not_of('\0');
  return all.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

// Its name; a number that has none goes as it is, for the table to refuse.
template <class Enum>
void put_enum(Enum value, const char* name, CopyRows& into) {
  into.text(name[0] != '\0' ? std::string(name) : std::to_string(static_cast<int>(value)));
}

std::int64_t offset_of(const Event& event) {
  return static_cast<std::int64_t>(event.offset->value());
}

void encode_trade(const Event& event, CopyRows& into) {
  const auto& trade = root<TradeEvent>(event);
  into.row(13);
  into.bigint(offset_of(event));
  into.text(whole(trade.trade_id()));
  into.text(whole(trade.instrument()));
  into.numeric(trade.price(), trade.price_scale());
  into.numeric(trade.quantity(), trade.quantity_scale());
  put_enum(trade.aggressor(), EnumNameSide(trade.aggressor()), into);
  into.text(whole(trade.buyer_account()));
  into.text(whole(trade.seller_account()));
  into.numeric(trade.buy_order_id());
  into.numeric(trade.sell_order_id());
  into.timestamp(trade.match_time());
  into.bigint(trade.match_time());
  into.timestamp(event.record_time.ns);
}

void encode_account(const Event& event, CopyRows& into) {
  const auto& account = root<AccountEvent>(event);
  into.row(13);
  into.bigint(offset_of(event));
  into.text(whole(account.user_id()));
  into.text(whole(account.account()));
  into.text(whole(account.currency()));
  into.numeric(account.balance(), account.scale());
  into.numeric(account.available(), account.scale());
  into.numeric(account.margin(), account.scale());
  into.numeric(account.reserved(), account.scale());
  put_enum(account.cause(), EnumNameAccountCause(account.cause()), into);
  into.text(whole(account.cause_id()));
  into.timestamp(account.book_time());
  into.bigint(account.book_time());
  into.timestamp(event.record_time.ns);
}

// Two arrays of as many elements as there are levels.
void put_levels(const schemas::Levels* side, std::uint8_t price_scale, std::uint8_t quantity_scale, CopyRows& into) {
  constexpr std::size_t most = 10;
  std::array<std::int64_t, most> prices{}, quantities{};
  std::size_t count = 0;
  for (std::size_t i = 0; side != nullptr && i < most; ++i) {
    const schemas::Level& level = *side->levels()->Get(static_cast<flatbuffers::uoffset_t>(i));
    prices[i] = level.price();
    quantities[i] = level.quantity();
    if (level.price() != 0 || level.quantity() != 0) count = i + 1;
  }
  into.numerics(std::span(prices).first(count), price_scale);
  into.numerics(std::span(quantities).first(count), quantity_scale);
}

void encode_book(const Event& event, CopyRows& into) {
  const auto& book = root<MarketL2>(event);
  into.row(15);
  into.bigint(offset_of(event));
  into.text(whole(book.instrument()));
  put_enum(book.phase(), EnumNamePhase(book.phase()), into);
  put_levels(book.bids(), book.price_scale(), book.quantity_scale(), into);
  put_levels(book.asks(), book.price_scale(), book.quantity_scale(), into);
  into.numeric(book.last_price(), book.price_scale());
  into.numeric(book.trade_count());
  into.numeric(book.traded_quantity(), book.quantity_scale());
  into.numeric(book.valid_at());
  into.bigint(book.checksum());
  into.timestamp(book.book_time());
  into.bigint(book.book_time());
  into.timestamp(event.record_time.ns);
}

const std::array<Tables, 3>& all() {
  static const std::array<Tables, 3> tables{
      Tables{"trade_events",
             "trades",
             "stage_trades",
             "log_offset bigint, trade_id text, instrument text, price numeric, quantity numeric, aggressor text, "
             "buyer_account text, seller_account text, buy_order_id numeric, sell_order_id numeric, "
             "matched timestamptz, matched_ns bigint, recorded timestamptz",
             {"INSERT INTO trades (topic, log_offset, trade_id, instrument, price, quantity, aggressor, buyer_account, "
              "seller_account, buy_order_id, sell_order_id, matched, matched_ns, recorded) "
              "SELECT $topic, s.* FROM stage_trades s $skip"},
             encode_trade},
      Tables{"account_events",
             "account_events",
             "stage_account_events",
             "log_offset bigint, user_id text, account text, currency text, balance numeric, available numeric, "
             "margin numeric, reserved numeric, cause text, cause_id text, booked timestamptz, booked_ns bigint, "
             "recorded timestamptz",
             {"INSERT INTO account_events (topic, log_offset, user_id, account, currency, balance, available, margin, "
              "reserved, cause, cause_id, booked, booked_ns, recorded) "
              "SELECT $topic, s.* FROM stage_account_events s $skip",
              "INSERT INTO account_balances (topic, account, currency, user_id, balance, available, margin, reserved, "
              "log_offset, booked, booked_ns) "
              "SELECT DISTINCT ON (account, currency) $topic, account, currency, user_id, balance, available, margin, "
              "reserved, log_offset, booked, booked_ns FROM stage_account_events "
              "ORDER BY account, currency, log_offset DESC "
              "ON CONFLICT (topic, account, currency) DO UPDATE SET user_id = excluded.user_id, "
              "balance = excluded.balance, available = excluded.available, margin = excluded.margin, "
              "reserved = excluded.reserved, log_offset = excluded.log_offset, booked = excluded.booked, "
              "booked_ns = excluded.booked_ns WHERE account_balances.log_offset < excluded.log_offset"},
             encode_account},
      Tables{"market_l2",
             "order_book_snapshots",
             "stage_order_books",
             "log_offset bigint, instrument text, phase text, bid_prices numeric[], bid_quantities numeric[], "
             "ask_prices numeric[], ask_quantities numeric[], last_price numeric, trade_count numeric, "
             "traded_quantity numeric, valid_at numeric, checksum bigint, booked timestamptz, booked_ns bigint, "
             "recorded timestamptz",
             {"INSERT INTO order_book_snapshots (topic, log_offset, instrument, phase, bid_prices, bid_quantities, "
              "ask_prices, ask_quantities, last_price, trade_count, traded_quantity, valid_at, checksum, booked, "
              "booked_ns, recorded) "
              "SELECT $topic, s.* FROM stage_order_books s $skip"},
             encode_book}};
  return tables;
}

}  // namespace

const Tables* tables_of(const EventType& type) {
  if (type.id() >= first_user_event_type) return nullptr;  // whatever its name
  for (const Tables& tables : all()) {
    if (type.name() == tables.family) return &tables;
  }
  return nullptr;
}

std::string known_families() {
  std::string names;
  for (const Tables& tables : all()) names += (names.empty() ? "" : ", ") + std::string(tables.family);
  return names;
}

}  // namespace millrace::delayed::postgres
