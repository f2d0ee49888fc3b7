#include "publishers/market/binance.hpp"

#include "publishers/market/json.hpp"

namespace millrace::market {
namespace {

class BinanceFeed final : public LineFeed {
 public:
  explicit BinanceFeed(LineSource lines) : LineFeed(std::move(lines)) {}

 private:
  void parse(std::string_view line) override {
    const auto space = line.find(' ');
    if (space == std::string_view::npos) throw Malformed{"the line is not 'local_ns json'"};
    const WallTime received{to_integer(line.substr(0, space))};
    const auto& message = as_object(json_.parse(line.substr(space + 1)), "the message");
    if (message.contains("lastUpdateId")) {
      emit(snapshot(message, received));
      return;
    }
    const auto stream = text_member(message, "stream");
    const auto& data = as_object(member(message, "data"), "data");
    instrument_ = text_member(data, "s");
    // Spot tickers do not name their kind, so the stream's name decides.
    if (stream.ends_with("@bookTicker")) {
      emit(quote(data, received));
    } else if (stream.ends_with("@trade")) {
      emit(trade(data, received));
    } else if (stream.find("@depth") != std::string_view::npos) {
      emit(depth(data, received));
    } else {
      throw Malformed{"the stream '" + std::string(stream) + "' is not known; depth, bookTicker and trade are"};
    }
  }

  BookUpdate snapshot(const boost::json::object& message, WallTime received) const {
    if (instrument_.empty()) throw Malformed{"a snapshot comes before any line that names its instrument"};
    BookUpdate update;
    update.instrument = instrument_;
    update.scale = kBinanceScale;
    update.received = received;
    update.snapshot = true;
    update.last = VenueNumber(number_member(message, "lastUpdateId"));
    update.bids = to_levels(member(message, "bids"), kBinanceScale);
    update.asks = to_levels(member(message, "asks"), kBinanceScale);
    return update;
  }

  BookUpdate depth(const boost::json::object& data, WallTime received) const {
    BookUpdate update;
    update.instrument = instrument_;
    update.scale = kBinanceScale;
    update.received = received;
    update.first = VenueNumber(number_member(data, "U"));
    update.last = VenueNumber(number_member(data, "u"));
    if (data.contains("pu")) update.previous = VenueNumber(number_member(data, "pu"));  // futures only
    if (update.first > update.last) throw Malformed{"the update's first number lies above its last"};
    update.bids = to_levels(member(data, "b"), kBinanceScale);
    update.asks = to_levels(member(data, "a"), kBinanceScale);
    return update;
  }

  Quote quote(const boost::json::object& data, WallTime received) const {
    const auto level = [&](std::string_view price, std::string_view quantity) {
      return Level{{to_units(text_member(data, price), kBinanceScale.price)},
                   {to_units(text_member(data, quantity), kBinanceScale.quantity)}};
    };
    return {instrument_,     kBinanceScale,  received, VenueNumber(number_member(data, "u")),
            level("b", "B"), level("a", "A")};
  }

  TradePrint trade(const boost::json::object& data, WallTime received) const {
    TradePrint print;
    print.instrument = instrument_;
    print.scale = kBinanceScale;
    print.received = received;
    print.matched = from_milliseconds(number_member(data, "T"));
    print.number = VenueNumber(number_member(data, "t"));
    print.price = {to_units(text_member(data, "p"), kBinanceScale.price)};
    print.quantity = {to_units(text_member(data, "q"), kBinanceScale.quantity)};
    print.aggressor = bool_member(data, "m") ? Aggressor::sell : Aggressor::buy;  // m: the buyer was the maker
    return print;
  }

  JsonParser json_;
  std::string instrument_;
};

}  // namespace

Result<std::unique_ptr<Feed>> open_binance(std::string path) {
  auto lines = LineSource::open(std::move(path));
  if (!lines) return fail(std::move(lines).error());
  return std::make_unique<BinanceFeed>(*std::move(lines));
}

}  // namespace millrace::market
