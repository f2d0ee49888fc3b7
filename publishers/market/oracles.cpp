#include "publishers/market/oracles.hpp"

#include <array>
#include <optional>
#include <utility>

#include "publishers/market/binance.hpp"
#include "publishers/market/captures.hpp"
#include "publishers/market/checks.hpp"
#include "publishers/market/decimal.hpp"

namespace millrace::market {
namespace {

constexpr WallTime sse_midnight{1'675'699'200'000'000'000};      // 2023-02-07 00:00 +08:00
constexpr WallTime lobster_midnight{1'340'251'200'000'000'000};  // 2012-06-21 00:00 -04:00

class SseCheck final : public OracleCheck {
 public:
  explicit SseCheck(const SseDay& day) : books_(day.books()) {
    for (const auto& trade : day.trades()) {
      if (trade.aggressor != Aggressor::none) {
        continuous_.expected.push_back(trade);
      } else {
        (continuous_.expected.empty() ? opening_ : closing_).expected.push_back(trade);
      }
    }
  }

  void on_trade(const TradePrint& print) override {
    if (print.aggressor != Aggressor::none) {
      continuous_.take(print);
    } else {
      (continuous_.taken == 0 ? opening_ : closing_).take(print);
    }
  }

  void on_book(const BookView& view) override {
    if (shown_) held(shown_->levels, shown_->valid_at, view.valid_at);
    shown_ = view;
  }

  std::vector<OracleResult> results() override {
    if (shown_) held(shown_->levels, shown_->valid_at, UINT64_MAX);
    shown_.reset();
    return {continuous_.result("sse-600519 continuous trades"),
            {"sse-600519 snapshots", books_matched_, books_.size()},
            opening_.result("sse-600519 opening auction at " + opening_.price()),
            closing_.result("sse-600519 closing auction at " + closing_.price())};
  }

 private:
  struct Trades {
    std::vector<SseTrade> expected;
    std::size_t taken = 0;
    std::uint64_t matched = 0;

    void take(const TradePrint& print) {
      if (taken < expected.size()) {
        const auto& trade = expected[taken];
        matched += print.buy_order == trade.buy_order && print.sell_order == trade.sell_order &&
                   print.price == trade.price && print.quantity == trade.quantity && print.aggressor == trade.aggressor;
      }
      ++taken;
    }
    // One trade too many is a failure too.
    [[nodiscard]] OracleResult result(std::string name) const {
      return {std::move(name), taken > expected.size() ? 0 : matched, expected.size()};
    }
    [[nodiscard]] std::string price() const {
      return expected.empty() ? "no price" : format_decimal(expected.front().price.units, kSseScale.price);
    }
  };

  // `levels` stood after each command of [from, until). Snapshots are looked for in their order.
  void held(const TenLevels& levels, std::uint64_t from, std::uint64_t until) {
    for (; next_book_ < books_.size(); ++next_book_) {
      const auto& book = books_[next_book_];
      if (book.end <= from) continue;
      if (book.first >= until) return;
      if (book.levels == levels) {
        ++books_matched_;
      } else if (book.end > until) {
        return;  // a later state may be the one
      }
    }
  }

  Trades opening_;
  Trades continuous_;
  Trades closing_;
  std::vector<SseDay::ExpectedBook> books_;
  std::size_t next_book_ = 0;
  std::uint64_t books_matched_ = 0;
  std::optional<BookView> shown_;
};

Result<Oracle> pair(Result<std::unique_ptr<Replay>> replay, Result<std::unique_ptr<OracleCheck>> check) {
  if (!replay) return fail(std::move(replay).error());
  if (!check) return fail(std::move(check).error());
  return Oracle{*std::move(replay), *std::move(check)};
}

Result<std::unique_ptr<Replay>> feed(Result<std::unique_ptr<Feed>> opened, std::size_t depth_max = 0) {
  if (!opened) return fail(std::move(opened).error());
  return replay_feed(*std::move(opened), depth_max);
}

Result<Oracle> open_sse(const std::string& data) {
  auto day = load_sse_day(data, matching::InstrumentId(0));
  if (!day) return fail(std::move(day).error());
  auto check = make_sse_check(*day);
  return pair(replay_sse(*std::move(day), "600519"), std::move(check));
}

Result<Oracle> open_lobster(const std::string& data, const std::string& symbol) {
  const auto file = [&](const char* kind) {
    return data + "/lobster/" + symbol + "_2012-06-21_" + kind + "_10.csv.gz";
  };
  return pair(replay_lobster(file("message"), file("orderbook"), symbol, lobster_midnight),
              make_lobster_check("lobster " + symbol, file("message")));
}
Result<Oracle> open_lobster_amzn(const std::string& data) {
  return open_lobster(data, "AMZN");
}
Result<Oracle> open_lobster_aapl(const std::string& data) {
  return open_lobster(data, "AAPL");
}

Result<Oracle> open_binance_spot(const std::string& data) {
  const auto path = data + "/binance/spot_btcusdt_20240808.gz";
  return pair(feed(open_binance(path)), make_binance_check("binance spot", path));
}
Result<Oracle> open_binance_futures(const std::string& data) {
  const auto path = data + "/binance/usdm_btcusdt_20240808.gz";
  return pair(feed(open_binance(path)), make_binance_check("binance futures", path));
}
Result<Oracle> open_kraken_oracle(const std::string& data) {
  const auto path = data + "/websocket-captures/KRAKEN.ws.50.0.gz";
  return pair(feed(open_kraken(path), kKrakenDepth), make_kraken_check("kraken", path));
}
Result<Oracle> open_okx_oracle(const std::string& data) {
  const auto path = data + "/websocket-captures/OKX.ws.1.0.gz";
  return pair(feed(open_okx(path)), make_okx_check("okx", path));
}
Result<Oracle> open_coinbase_oracle(const std::string& data) {
  const auto path = data + "/websocket-captures/COINBASE.ws.28.0.gz";
  return pair(feed(open_coinbase(path)), make_coinbase_check("coinbase", path));
}

}  // namespace

Result<SseDay> load_sse_day(const std::string& data_folder, matching::InstrumentId instrument) {
  return SseDay::load(data_folder + "/sse-600519/2023-02-07.log.zst", instrument, sse_midnight);
}

std::unique_ptr<OracleCheck> make_sse_check(const SseDay& day) {
  return std::make_unique<SseCheck>(day);
}

std::span<const OracleSpec> all_oracles() {
  static constexpr std::array specs{
      OracleSpec{"sse-600519", open_sse},
      OracleSpec{"lobster-amzn", open_lobster_amzn},
      OracleSpec{"lobster-aapl", open_lobster_aapl},
      OracleSpec{"binance-spot", open_binance_spot},
      OracleSpec{"binance-futures", open_binance_futures},
      OracleSpec{"kraken", open_kraken_oracle},
      OracleSpec{"okx", open_okx_oracle},
      OracleSpec{"coinbase", open_coinbase_oracle},
  };
  return specs;
}

Result<std::vector<OracleResult>> run_oracle(Oracle oracle) {
  while (true) {
    const auto event = oracle.replay->next();
    if (!event) return fail(event.error());
    if (!*event) return oracle.check->results();
    if (const auto* print = std::get_if<TradePrint>(&**event)) {
      oracle.check->on_trade(*print);
    } else {
      oracle.check->on_book(std::get<BookView>(**event));
    }
  }
}

}  // namespace millrace::market
