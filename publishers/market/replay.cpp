#include "publishers/market/replay.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "publishers/market/book_builder.hpp"
#include "publishers/market/lobster.hpp"
#include "publishers/matching/engine.hpp"

namespace millrace::market {
namespace {

class FeedReplay final : public Replay {
 public:
  FeedReplay(std::unique_ptr<Feed> feed, std::size_t depth_max) : feed_(std::move(feed)), depth_max_(depth_max) {}

  Result<std::optional<MarketEvent>> next() override {
    while (true) {
      if (active_ != nullptr) {
        const auto update = active_->builder.advance();
        if (!update) return fail(update.error());
        if (*update != nullptr) return view(**update, *active_);
        active_ = nullptr;
      }
      auto event = feed_->next();
      if (!event) return fail(std::move(event).error());
      if (!*event) return std::nullopt;
      if (auto* print = std::get_if<TradePrint>(&**event); print != nullptr && !print->historical) {
        return MarketEvent(std::move(*print));
      }
      if (auto* update = std::get_if<BookUpdate>(&**event)) {
        active_ = &books_.try_emplace(update->instrument, depth_max_).first->second;
        MILLRACE_TRY(active_->builder.offer(std::move(*update)));
      }
    }
  }

 private:
  struct Book {
    explicit Book(std::size_t depth_max) : builder(depth_max) {}
    BookBuilder builder;
    std::uint64_t updates = 0;
  };

  static MarketEvent view(const BookUpdate& update, Book& book) {
    ++book.updates;
    // Venues that number nothing are counted here.
    const bool numbered = update.last != VenueNumber{};
    return BookView{update.instrument, update.scale, update.received, numbered ? update.last.value() : book.updates,
                    book.builder.book().ten_levels()};
  }

  std::unique_ptr<Feed> feed_;
  std::size_t depth_max_;
  std::map<std::string, Book> books_;
  Book* active_ = nullptr;  // may have updates ready
};

class LobsterReplay final : public Replay {
 public:
  LobsterReplay(LobsterMessages messages, LobsterBooks books, std::string instrument, WallTime midnight)
      : messages_(std::move(messages)),
        books_(std::move(books)),
        instrument_(std::move(instrument)),
        midnight_(midnight) {}

  Result<std::optional<MarketEvent>> next() override {
    const auto message = messages_.next();
    if (!message) return fail(message.error());
    const auto book = books_.next();
    if (!book) return fail(book.error());
    if (message->has_value() != book->has_value()) {
      const auto& shorter = message->has_value() ? books_.lines() : messages_.lines();
      return shorter.error(ErrorCode::corrupt, "the file ends here, but its counterpart goes on");
    }
    if (!*message) return std::nullopt;
    return BookView{instrument_, kLobsterScale, {midnight_.ns + (*message)->ns_of_day}, ++row_, **book};
  }

 private:
  LobsterMessages messages_;
  LobsterBooks books_;
  std::string instrument_;
  WallTime midnight_;
  std::uint64_t row_ = 0;
};

class SseReplay final : public Replay, private matching::EventHandler {
 public:
  SseReplay(SseDay day, std::string instrument)
      : day_(std::move(day)), instrument_(std::move(instrument)), engine_(*this) {}

  Status start() {
    const auto id = engine_.add_instrument(day_.instrument_config(instrument_));
    if (!id) return fail(id.error());
    return {};
  }

  Result<std::optional<MarketEvent>> next() override {
    while (ready_.empty()) {
      const auto* command = day_.next();
      if (command == nullptr) return std::nullopt;
      engine_.apply(command->input, command->command);
      if (!failure_.empty()) return fail(ErrorCode::internal, failure_);
    }
    MarketEvent event = std::move(ready_.front());
    ready_.pop_front();
    return event;
  }

 private:
  void on_trade(const matching::Trade& trade) override {
    TradePrint print;
    print.instrument = instrument_;
    print.scale = kSseScale;
    print.received = trade.head.time;
    print.matched = trade.head.time;
    print.number = VenueNumber(trade.number.value());
    print.price = trade.price;
    print.quantity = trade.quantity;
    print.aggressor = trade.aggressor;
    print.buy_order = trade.buyer.order;
    print.sell_order = trade.seller.order;
    ready_.emplace_back(std::move(print));
  }
  void on_book_changed(const matching::BookChanged& event) override {
    const auto depth = engine_.depth(event.head.instrument);
    const auto level = [](const matching::DepthLevel& from) { return Level{from.price, from.quantity}; };
    BookView view{instrument_, kSseScale, event.head.time, event.head.cause.value(), {}};
    std::transform(depth.bids().begin(), depth.bids().end(), view.levels.bids.begin(), level);
    std::transform(depth.asks().begin(), depth.asks().end(), view.levels.asks.begin(), level);
    ready_.emplace_back(std::move(view));
  }
  void on_rejected(const matching::Rejected& event) override {
    failure_ = "the engine rejects command " + std::to_string(event.head.cause.value()) + " of the day, order " +
               std::to_string(event.order.value()) + ": " + std::string(to_string(event.reason));
  }
  void on_accepted(const matching::Accepted&) override {}
  void on_cancelled(const matching::Cancelled&) override {}
  void on_replaced(const matching::Replaced&) override {}
  void on_expired(const matching::Expired&) override {}
  void on_phase_changed(const matching::PhaseChanged&) override {}

  SseDay day_;
  std::string instrument_;
  matching::Engine engine_;
  std::deque<MarketEvent> ready_;
  std::string failure_;
};

}  // namespace

std::unique_ptr<Replay> replay_feed(std::unique_ptr<Feed> feed, std::size_t depth_max) {
  return std::make_unique<FeedReplay>(std::move(feed), depth_max);
}

Result<std::unique_ptr<Replay>> replay_lobster(const std::string& messages, const std::string& books,
                                               std::string instrument, WallTime midnight) {
  auto message_file = LobsterMessages::open(messages);
  if (!message_file) return fail(std::move(message_file).error());
  auto book_file = LobsterBooks::open(books);
  if (!book_file) return fail(std::move(book_file).error());
  return std::make_unique<LobsterReplay>(*std::move(message_file), *std::move(book_file), std::move(instrument),
                                         midnight);
}

Result<std::unique_ptr<Replay>> replay_sse(SseDay day, std::string instrument) {
  auto replay = std::make_unique<SseReplay>(std::move(day), std::move(instrument));
  MILLRACE_TRY(replay->start());
  return replay;
}

}  // namespace millrace::market
