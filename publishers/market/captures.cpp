#include "publishers/market/captures.hpp"

#include <map>

#include "publishers/market/decimal.hpp"
#include "publishers/market/json.hpp"

namespace millrace::market {
namespace {

namespace json = boost::json;

class CaptureFeed : public LineFeed {
 protected:
  using LineFeed::LineFeed;
  virtual void parse_message(const json::value& message, WallTime received) = 0;

 private:
  void parse(std::string_view line) final {
    if (line.starts_with("wss")) return;
    const auto colon = line.find(": ");
    if (colon == std::string_view::npos) throw Malformed{"the line is not 'unix_s: json'"};
    const auto received = to_time(line.substr(0, colon));
    parse_message(json_.parse(line.substr(colon + 2)), received);
  }

  JsonParser json_;
};

Side to_side(std::string_view text) {
  if (text == "buy") return Side::buy;
  if (text == "sell") return Side::sell;
  throw Malformed{"the side '" + std::string(text) + "' is neither buy nor sell"};
}

class CoinbaseFeed final : public CaptureFeed {
 public:
  explicit CoinbaseFeed(LineSource lines) : CaptureFeed(std::move(lines)) {}

 private:
  void parse_message(const json::value& value, WallTime received) override {
    const auto& message = as_object(value, "the message");
    const auto type = text_member(message, "type");
    if (type == "snapshot") {
      auto update = book_update(message, received);
      update.snapshot = true;
      update.bids = to_levels(member(message, "bids"), kCaptureScale);
      update.asks = to_levels(member(message, "asks"), kCaptureScale);
      emit(std::move(update));
    } else if (type == "l2update") {
      auto update = book_update(message, received);
      for (const auto& entry : as_array(member(message, "changes"), "changes")) {
        const auto& change = as_array(entry, "a change");
        if (change.size() != 3) throw Malformed{"a change is not side, price and quantity"};
        const Level level{{to_units(as_text(change[1], "a price"), kCaptureScale.price)},
                          {to_units(as_text(change[2], "a quantity"), kCaptureScale.quantity)}};
        (to_side(as_text(change[0], "a side")) == Side::buy ? update.bids : update.asks).push_back(level);
      }
      emit(std::move(update));
    } else if (type == "match" || type == "last_match") {
      TradePrint print;
      print.instrument = text_member(message, "product_id");
      print.scale = kCaptureScale;
      print.received = received;
      print.matched = from_iso(text_member(message, "time"));
      print.number = VenueNumber(number_member(message, "trade_id"));
      print.price = {to_units(text_member(message, "price"), kCaptureScale.price)};
      print.quantity = {to_units(text_member(message, "size"), kCaptureScale.quantity)};
      // The venue names the maker's side.
      print.aggressor = to_side(text_member(message, "side")) == Side::buy ? Aggressor::sell : Aggressor::buy;
      print.historical = type == "last_match";
      emit(std::move(print));
    }
  }

  static BookUpdate book_update(const json::object& message, WallTime received) {
    BookUpdate update;
    update.instrument = text_member(message, "product_id");
    update.scale = kCaptureScale;
    update.received = received;
    return update;
  }
};

class KrakenFeed final : public CaptureFeed {
 public:
  explicit KrakenFeed(LineSource lines) : CaptureFeed(std::move(lines)) {}

 private:
  // [channel, {sides}, ({the other side},) "book-1000", pair]; what is an object tells of the connection.
  void parse_message(const json::value& value, WallTime received) override {
    if (value.is_object()) return;
    const auto& message = as_array(value, "the message");
    if (message.size() < 4) throw Malformed{"the message is not [channel, data, name, pair]"};
    if (!as_text(message[message.size() - 2], "the channel's name").starts_with("book")) return;
    BookUpdate update;
    update.instrument = as_text(message[message.size() - 1], "the pair");
    update.received = received;
    for (std::size_t i = 1; i + 2 < message.size(); ++i) {
      const auto& data = as_object(message[i], "the data");
      if (data.contains("as") || data.contains("bs")) {
        update.snapshot = true;
        scales_[update.instrument] = scale_of(data);
      }
      const auto known = scales_.find(update.instrument);
      if (known == scales_.end()) throw Malformed{"an update of " + update.instrument + " comes before its snapshot"};
      update.scale = known->second;
      for (const char* key : {"bs", "b"}) append(update.bids, data, key, update.scale);
      for (const char* key : {"as", "a"}) append(update.asks, data, key, update.scale);
      if (data.contains("c")) {
        const auto checksum = to_integer(text_member(data, "c"));
        if (checksum < 0 || checksum > UINT32_MAX) throw Malformed{"c is not a 32-bit checksum"};
        update.checksum = static_cast<std::uint32_t>(checksum);
      }
    }
    emit(std::move(update));
  }

  static void append(std::vector<Level>& to, const json::object& data, const char* key, Scale scale) {
    const auto* levels = data.if_contains(key);
    if (levels == nullptr) return;
    for (const auto& level : to_levels(*levels, scale)) to.push_back(level);
  }

  static Scale scale_of(const json::object& data) {
    for (const char* key : {"as", "bs"}) {
      const auto* side = data.if_contains(key);
      if (side == nullptr || as_array(*side, key).empty()) continue;
      const auto& first = as_array(side->as_array()[0], "a level");
      if (first.size() < 2) break;
      const unsigned price = decimals_of(as_text(first[0], "a price"));
      const unsigned quantity = decimals_of(as_text(first[1], "a quantity"));
      if (price > kScaleMax || quantity > kScaleMax) throw Malformed{"a level has too many decimals"};
      return {static_cast<std::uint8_t>(price), static_cast<std::uint8_t>(quantity)};
    }
    throw Malformed{"the snapshot has no level to read the scale off"};
  }

  std::map<std::string, Scale, std::less<>> scales_;
};

class OkxFeed final : public CaptureFeed {
 public:
  explicit OkxFeed(LineSource lines) : CaptureFeed(std::move(lines)) {}

 private:
  void parse_message(const json::value& value, WallTime received) override {
    const auto& message = as_object(value, "the message");
    if (message.contains("event")) return;
    const auto& arg = as_object(member(message, "arg"), "arg");
    const auto channel = text_member(arg, "channel");
    if (channel != "books" && channel != "trades") return;
    const auto instrument = text_member(arg, "instId");
    for (const auto& entry : as_array(member(message, "data"), "data")) {
      const auto& data = as_object(entry, "the data");
      if (channel == "trades") {
        emit(trade(data, instrument, received));
      } else {
        emit(book(data, instrument, text_member(message, "action"), received));
      }
    }
  }

  static BookUpdate book(const json::object& data, std::string_view instrument, std::string_view action,
                         WallTime received) {
    if (action != "snapshot" && action != "update") {
      throw Malformed{"the action '" + std::string(action) + "' is neither snapshot nor update"};
    }
    BookUpdate update;
    update.instrument = instrument;
    update.scale = kCaptureScale;
    update.received = received;
    update.snapshot = action == "snapshot";
    update.bids = to_levels(member(data, "bids"), kCaptureScale);
    update.asks = to_levels(member(data, "asks"), kCaptureScale);
    update.checksum = checksum_member(data, "checksum");
    return update;
  }

  static TradePrint trade(const json::object& data, std::string_view instrument, WallTime received) {
    TradePrint print;
    print.instrument = instrument;
    print.scale = kCaptureScale;
    print.received = received;
    print.matched = from_milliseconds(static_cast<std::uint64_t>(to_integer(text_member(data, "ts"))));
    print.number = VenueNumber(static_cast<std::uint64_t>(to_integer(text_member(data, "tradeId"))));
    print.price = {to_units(text_member(data, "px"), kCaptureScale.price)};
    print.quantity = {to_units(text_member(data, "sz"), kCaptureScale.quantity)};
    print.aggressor = to_side(text_member(data, "side")) == Side::buy ? Aggressor::buy : Aggressor::sell;
    return print;
  }
};

template <class T>
Result<std::unique_ptr<Feed>> open(std::string path) {
  auto lines = LineSource::open(std::move(path));
  if (!lines) return fail(std::move(lines).error());
  return std::make_unique<T>(*std::move(lines));
}

}  // namespace

Result<std::unique_ptr<Feed>> open_coinbase(std::string path) {
  return open<CoinbaseFeed>(std::move(path));
}
Result<std::unique_ptr<Feed>> open_kraken(std::string path) {
  return open<KrakenFeed>(std::move(path));
}
Result<std::unique_ptr<Feed>> open_okx(std::string path) {
  return open<OkxFeed>(std::move(path));
}

}  // namespace millrace::market
