// Proves that the engine, with its pools, sorted arrays and index, does exactly what the plain reference model does:
// same events, same ten levels, same orders in the same priority, over random commands in every phase and mode. Beside
// it: the book is never crossed while continuous, no quantity appears or vanishes, and the same seed gives the same
// events.
#include <gtest/gtest.h>

#include <map>

#include "publishers/matching/random.hpp"
#include "publishers/matching/reference_model.hpp"

namespace millrace::matching {
namespace {

InstrumentConfig random_config(Random& random) {
  auto config = mill();
  config.tick = Price{random.between(1, 3)};
  config.lot = Quantity{random.between(1, 2)};
  config.reference = Price{config.tick.units * random.between(30, 40)};
  config.price_min = Price{random.chance(0.5) ? 1 : 50};
  config.price_max = random.chance(0.5) ? kPriceMax : Price{150};
  config.self_trade = static_cast<SelfTrade>(random.below(4));
  config.phase = static_cast<Phase>(random.below(2));
  config.orders_expected = 1;
  config.orders_max = random.chance(0.2) ? 20 : 1000;
  return config;
}

// Mostly sensible commands over a narrow range of prices, so that much meets; some of everything that is wrong.
class RandomCommands {
 public:
  RandomCommands(Random& random, const InstrumentConfig& config) : random_(random), config_(config) {}

  Command next() {
    const auto dice = random_.below(1000);
    if (dice < 4) return SetPhase{instrument(), static_cast<Phase>(random_.below(4)), reference()};
    if (dice < 12) return SetPhase{instrument(), Phase::continuous, Price{0}};
    if (dice < 14) return ExpireOrders{instrument()};
    if (dice < 250) {
      const auto order = some_order();
      return CancelOrder{instrument(), order, account_of(order)};
    }
    if (dice < 450) {
      const auto order = some_order();
      return ReplaceOrder{instrument(), order, account_of(order), price(), quantity()};
    }
    auto order = OrderId(++orders_);
    if (random_.chance(0.02)) order = some_order();
    const auto kind = random_.chance(0.6) ? OrderKind::limit : static_cast<OrderKind>(random_.below(5));
    return NewOrder{instrument(), order,   account_of(order), static_cast<Side>(random_.below(2)),
                    kind,         price(), quantity()};
  }

 private:
  InstrumentId instrument() { return InstrumentId(random_.chance(0.995) ? 0 : 1); }
  OrderId some_order() { return OrderId(orders_ - std::min(orders_, random_.below(60))); }
  AccountId account_of(OrderId order) { return AccountId(random_.chance(0.98) ? order.value() % 4 : random_.below(4)); }
  Price reference() { return Price{random_.chance(0.5) ? 0 : random_.between(-1, 120)}; }
  // No valid price among them: the model tries each price between the orders.
  std::int64_t extreme(std::int64_t max) {
    return random_.chance(0.5) ? max + random_.between(1, 2) : static_cast<std::int64_t>(random_.bits() | 1ULL << 62);
  }
  Price price() {
    if (random_.chance(0.01)) return Price{extreme(kPriceMax.units)};
    if (random_.chance(0.05)) return Price{random_.between(-5, 160)};
    return Price{config_.tick.units * random_.between(100 / config_.tick.units - 8, 100 / config_.tick.units + 8)};
  }
  Quantity quantity() {
    if (random_.chance(0.01)) return Quantity{extreme(kQuantityMax.units)};
    if (random_.chance(0.03)) return Quantity{random_.between(-2, 12)};
    return Quantity{config_.lot.units * random_.between(1, 12)};
  }

  Random& random_;
  const InstrumentConfig& config_;
  std::uint64_t orders_ = 0;
};

std::string text_of(const std::vector<Event>& events) {
  std::string text;
  for (const auto& event : events) text += "  " + std::visit(TextOf{}, event) + "\n";
  return text;
}

std::vector<std::uint64_t> priority(const Book& book, Side side) {
  std::vector<std::uint64_t> ids;
  book.for_each(side, [&](const RestingOrder& order) { ids.push_back(order.id.value()); });
  return ids;
}

std::vector<std::uint64_t> priority(const ReferenceModel& model, Side side) {
  std::vector<const RestingOrder*> orders;
  for (const auto& order : model.resting()) {
    if (order.side == side) orders.push_back(&order);
  }
  std::stable_sort(orders.begin(), orders.end(), [&](const auto* a, const auto* b) {
    return side == Side::buy ? a->price > b->price : a->price < b->price;
  });
  std::vector<std::uint64_t> ids;
  for (const auto* order : orders) ids.push_back(order->id.value());
  return ids;
}

class Model : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Model, AgreesWithTheEngineOnEveryEventAndLevel) {
  for (std::uint64_t round = 0; round < 25; ++round) {
    const auto seed = GetParam() * 1000 + round;
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const auto config = random_config(random);
    RandomCommands commands(random, config);
    TestExchange exchange(config);
    ReferenceModel model(config);
    for (std::uint64_t number = 1; number <= 600; ++number) {
      const Input input{InputNumber(number), WallTime{static_cast<std::int64_t>(number)}};
      const auto command = commands.next();
      exchange.recorder.events.clear();
      exchange.engine.apply(input, command);
      auto expected = model.apply(input, command);
      // The model knows one instrument: what it says of others is right but for the head.
      for (auto& event : expected) {
        std::visit([&](auto& e) { std::visit([&](const auto& c) { e.head.instrument = c.instrument; }, command); },
                   event);
      }
      ASSERT_EQ(exchange.recorder.events, expected) << "input " << number << "\nengine:\n"
                                                    << text_of(exchange.recorder.events) << "model:\n"
                                                    << text_of(expected);
      ASSERT_EQ(exchange.engine.depth(exchange.instrument), model.depth()) << "input " << number;
      ASSERT_EQ(exchange.engine.indicative(exchange.instrument), model.indicative()) << "input " << number;
    }
    const auto& book = exchange.engine.instrument(exchange.instrument).book;
    for (const auto side : {Side::buy, Side::sell}) EXPECT_EQ(priority(book, side), priority(model, side));
  }
}

TEST_P(Model, NeverCrossesTheContinuousBookAndLosesNoQuantity) {
  Random random(GetParam() + 77);
  const auto config = random_config(random);
  RandomCommands commands(random, config);
  TestExchange exchange(config);
  const auto& instrument = exchange.engine.instrument(exchange.instrument);
  // What the events say is open, order by order.
  std::map<OrderId, Quantity> open;
  const auto close = [&](OrderId order, Quantity remaining) {
    ASSERT_EQ(open.at(order), remaining);
    open.erase(order);
  };
  const auto fill = [&](const Party& party, Quantity quantity) {
    auto& left = open.at(party.order);
    left -= quantity;
    ASSERT_GT(quantity, Quantity{0});
    ASSERT_EQ(left, party.remaining);
    if (left == Quantity{0}) open.erase(party.order);
  };
  for (int i = 0; i < 5000; ++i) {
    exchange.apply(commands.next());
    for (const auto& event : exchange.recorder.events) {
      if (const auto* accepted = std::get_if<Accepted>(&event)) {
        ASSERT_TRUE(open.emplace(accepted->order.order, accepted->order.quantity).second);
      } else if (const auto* trade = std::get_if<Trade>(&event)) {
        fill(trade->buyer, trade->quantity);
        fill(trade->seller, trade->quantity);
      } else if (const auto* cancelled = std::get_if<Cancelled>(&event)) {
        close(cancelled->order, cancelled->remaining);
      } else if (const auto* expired = std::get_if<Expired>(&event)) {
        close(expired->order, expired->remaining);
      } else if (const auto* replaced = std::get_if<Replaced>(&event)) {
        open.at(replaced->order) = replaced->remaining;
      }
    }
    std::map<OrderId, Quantity> resting;
    for (const auto side : {Side::buy, Side::sell}) {
      instrument.book.for_each(side, [&](const RestingOrder& o) { resting.emplace(o.id, o.remaining); });
    }
    ASSERT_EQ(resting, open) << "command " << i;
    if (instrument.phase == Phase::continuous || instrument.phase == Phase::closed) {
      ASSERT_EQ(exchange.engine.indicative(exchange.instrument), std::nullopt) << "crossed at command " << i;
    }
  }
}

TEST_P(Model, GivesTheSameEventsForTheSameSeed) {
  const auto run = [&] {
    Random random(GetParam());
    const auto config = random_config(random);
    RandomCommands commands(random, config);
    TestExchange exchange(config);
    std::vector<Event> all;
    for (int i = 0; i < 2000; ++i) {
      exchange.apply(commands.next());
      all.insert(all.end(), exchange.recorder.events.begin(), exchange.recorder.events.end());
    }
    return all;
  };
  EXPECT_EQ(run(), run());
}

// Else the agreement above would say little.
TEST(RandomCommands, MeetEveryReasonAndEveryKindOfEvent) {
  std::map<RejectReason, int> reasons;
  std::map<std::size_t, int> kinds;
  std::map<Aggressor, int> trades;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto config = random_config(random);
    RandomCommands commands(random, config);
    TestExchange exchange(config);
    for (int i = 0; i < 600; ++i) {
      exchange.apply(commands.next());
      for (const auto& event : exchange.recorder.events) {
        ++kinds[event.index()];
        if (const auto* rejected = std::get_if<Rejected>(&event)) ++reasons[rejected->reason];
        if (const auto* trade = std::get_if<Trade>(&event)) ++trades[trade->aggressor];
      }
    }
  }
  for (std::size_t reason = 0; reason <= static_cast<std::size_t>(RejectReason::no_liquidity); ++reason) {
    const auto named = static_cast<RejectReason>(reason);
    if (named == RejectReason::malformed) continue;
    EXPECT_GT(reasons[named], 20) << to_string(named);
  }
  for (std::size_t kind = 0; kind < std::variant_size_v<Event>; ++kind) EXPECT_GT(kinds[kind], 200) << kind;
  for (const auto aggressor : {Aggressor::buy, Aggressor::sell, Aggressor::none}) EXPECT_GT(trades[aggressor], 500);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Model, testing::Range<std::uint64_t>(0, 20));

// The index under ids that collide, with deletions in between.
TEST(OrderIndex, FindsWhatIsThereAndNothingElse) {
  Random random(1);
  OrderIndex index(4);
  std::map<std::uint64_t, std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    const auto id = random.below(2000) << 40;
    const auto found = expected.find(id);
    ASSERT_EQ(index.find(OrderId(id)), found == expected.end() ? OrderIndex::kNone : found->second);
    if (found == expected.end()) {
      index.insert(OrderId(id), i);
      expected.emplace(id, i);
    } else {
      index.erase(OrderId(id));
      expected.erase(found);
    }
    ASSERT_EQ(index.size(), expected.size());
  }
}

}  // namespace
}  // namespace millrace::matching
