#include "publishers/market/checks.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "publishers/market/binance.hpp"
#include "publishers/market/book_builder.hpp"
#include "publishers/market/captures.hpp"
#include "publishers/market/lobster.hpp"

namespace millrace::market {
namespace {

// All events of a feed, to a visitor that returns a Status.
template <class Visitor>
Status read_all(Result<std::unique_ptr<Feed>> feed, Visitor&& visit) {
  if (!feed) return fail(std::move(feed).error());
  while (true) {
    auto event = (*feed)->next();
    if (!event) return fail(std::move(event).error());
    if (!*event) return {};
    MILLRACE_TRY(std::visit(visit, **std::move(event)));
  }
}

class LobsterCheck final : public OracleCheck {
 public:
  explicit LobsterCheck(std::string name) : name_(std::move(name)) {}

  Status load(const std::string& path) {
    auto messages = LobsterMessages::open(path);
    if (!messages) return fail(std::move(messages).error());
    while (true) {
      const auto message = messages->next();
      if (!message) return fail(message.error());
      if (!*message) return {};
      messages_.push_back(**message);
    }
  }

  void on_book(const BookView& view) override {
    const std::uint64_t row = view.valid_at;  // from 1
    if (before_ && row == before_->valid_at + 1 && row <= messages_.size()) {
      matched_ += follows(before_->levels, messages_[row - 1], view.levels);
    }
    before_ = view;
  }

  std::vector<OracleResult> results() override {
    // Nothing leads to the first row.
    return {{name_ + " rows", matched_, messages_.empty() ? 0 : messages_.size() - 1}};
  }

 private:
  std::string name_;
  std::vector<LobsterMessage> messages_;
  std::optional<BookView> before_;
  std::uint64_t matched_ = 0;
};

class BinanceCheck final : public OracleCheck {
 public:
  explicit BinanceCheck(std::string name) : name_(std::move(name)) {}

  Status load(const std::string& path) {
    struct Visitor {
      BinanceCheck& check;
      VenueNumber before{};
      VenueNumber snapshot{};

      Status operator()(const BookUpdate& update) {
        if (update.snapshot) {
          snapshot = update.last;
          return {};
        }
        const bool first = before == VenueNumber{};
        const bool numbered_behind = update.previous != VenueNumber{};
        const bool follows = numbered_behind ? update.previous == before : update.first == before.next();
        check.updates_.push_back({update.last, first || follows});
        before = update.last;
        return {};
      }
      Status operator()(Quote quote) {
        check.quotes_.push_back(std::move(quote));
        return {};
      }
      Status operator()(const TradePrint&) { return {}; }
    } visitor{*this};
    MILLRACE_TRY(
        read_all(open_binance(path), [&](auto&& event) { return visitor(std::forward<decltype(event)>(event)); }));
    std::erase_if(updates_, [&](const Update& update) { return update.last <= visitor.snapshot; });
    std::stable_sort(quotes_.begin(), quotes_.end(),
                     [](const Quote& a, const Quote& b) { return a.number < b.number; });
    return {};
  }

  void on_book(const BookView& view) override {
    const VenueNumber number(view.valid_at);
    const auto from = updates_.begin() + static_cast<std::ptrdiff_t>(next_);
    const auto at = std::find_if(from, updates_.end(), [&](const Update& update) { return update.last == number; });
    if (at == updates_.end()) return;  // the snapshot, or one that is out of order
    in_sequence_ += at == from && at->follows;
    next_ = static_cast<std::size_t>(at - updates_.begin()) + 1;
    const auto after = std::upper_bound(quotes_.begin(), quotes_.end(), number,
                                        [](VenueNumber value, const Quote& quote) { return value < quote.number; });
    if (after == quotes_.begin()) return;
    const auto& quote = *std::prev(after);
    quotes_matched_ += quote.bid == view.levels.bids[0] && quote.ask == view.levels.asks[0];
  }

  std::vector<OracleResult> results() override {
    return {{name_ + " updates in sequence", in_sequence_, updates_.size()},
            {name_ + " best bid and ask", quotes_matched_, updates_.size()}};
  }

 private:
  struct Update {
    VenueNumber last;
    bool follows = false;
  };
  std::string name_;
  std::vector<Update> updates_;
  std::vector<Quote> quotes_;
  std::size_t next_ = 0;
  std::uint64_t in_sequence_ = 0;
  std::uint64_t quotes_matched_ = 0;
};

class KrakenCheck final : public OracleCheck {
 public:
  explicit KrakenCheck(std::string name) : name_(std::move(name)) {}

  Status load(const std::string& path) {
    return read_all(open_kraken(path), [&](auto&& event) -> Status {
      if constexpr (std::is_same_v<std::decay_t<decltype(event)>, BookUpdate>) {
        checksums_[event.instrument].push_back(event.checksum);
        expected_ += event.checksum.has_value();
      }
      return {};
    });
  }

  void on_book(const BookView& view) override {
    const auto& checksums = checksums_[view.instrument];
    if (view.valid_at == 0 || view.valid_at > checksums.size()) return;
    const auto& checksum = checksums[view.valid_at - 1];
    matched_ += checksum && *checksum == kraken_checksum(view.levels);
  }

  std::vector<OracleResult> results() override { return {{name_ + " checksums", matched_, expected_}}; }

 private:
  std::string name_;
  std::map<std::string, std::vector<std::optional<std::uint32_t>>> checksums_;  // by instrument and update
  std::uint64_t expected_ = 0;
  std::uint64_t matched_ = 0;
};

class OkxCheck final : public OracleCheck {
 public:
  explicit OkxCheck(std::string name) : name_(std::move(name)) {}

  Status load(const std::string& path) {
    std::map<std::string, BookBuilder> builders;
    return read_all(open_okx(path), [&](auto&& event) -> Status {
      if constexpr (std::is_same_v<std::decay_t<decltype(event)>, BookUpdate>) {
        const std::string instrument = event.instrument;
        auto& builder = builders[instrument];
        MILLRACE_TRY(builder.offer(std::forward<decltype(event)>(event)));
        const auto update = builder.advance();
        if (!update) return fail(update.error());
        const auto& book = builder.book();
        const bool right = (*update)->checksum == okx_checksum(book, (*update)->scale);
        books_[instrument].push_back(right ? std::optional(book.ten_levels()) : std::nullopt);
        ++expected_;
      }
      return {};
    });
  }

  void on_book(const BookView& view) override {
    const auto& books = books_[view.instrument];
    if (view.valid_at == 0 || view.valid_at > books.size()) return;
    matched_ += books[view.valid_at - 1] == view.levels;
  }

  std::vector<OracleResult> results() override { return {{name_ + " checksums", matched_, expected_}}; }

 private:
  std::string name_;
  std::map<std::string, std::vector<std::optional<TenLevels>>> books_;  // empty where the checksum is not the venue's
  std::uint64_t expected_ = 0;
  std::uint64_t matched_ = 0;
};

class CoinbaseCheck final : public OracleCheck {
 public:
  explicit CoinbaseCheck(std::string name) : name_(std::move(name)) {}

  Status load(const std::string& path) {
    return read_all(open_coinbase(path), [&](auto&& event) -> Status {
      if constexpr (std::is_same_v<std::decay_t<decltype(event)>, TradePrint>) {
        if (event.historical) last_[event.instrument] = event.number;
        expected_ += !event.historical;
      }
      return {};
    });
  }

  void on_trade(const TradePrint& print) override {
    auto& last = last_[print.instrument];
    matched_ += print.number == last.next();
    last = print.number;
  }

  std::vector<OracleResult> results() override { return {{name_ + " trade numbers", matched_, expected_}}; }

 private:
  std::string name_;
  std::map<std::string, VenueNumber> last_;
  std::uint64_t expected_ = 0;
  std::uint64_t matched_ = 0;
};

template <class T>
Result<std::unique_ptr<OracleCheck>> load(std::string name, const std::string& path) {
  auto check = std::make_unique<T>(std::move(name));
  MILLRACE_TRY(check->load(path));
  return check;
}

}  // namespace

Result<std::unique_ptr<OracleCheck>> make_lobster_check(std::string name, const std::string& messages) {
  return load<LobsterCheck>(std::move(name), messages);
}
Result<std::unique_ptr<OracleCheck>> make_binance_check(std::string name, const std::string& path) {
  return load<BinanceCheck>(std::move(name), path);
}
Result<std::unique_ptr<OracleCheck>> make_kraken_check(std::string name, const std::string& path) {
  return load<KrakenCheck>(std::move(name), path);
}
Result<std::unique_ptr<OracleCheck>> make_okx_check(std::string name, const std::string& path) {
  return load<OkxCheck>(std::move(name), path);
}
Result<std::unique_ptr<OracleCheck>> make_coinbase_check(std::string name, const std::string& path) {
  return load<CoinbaseCheck>(std::move(name), path);
}

}  // namespace millrace::market
