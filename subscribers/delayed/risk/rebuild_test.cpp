// Proves that the engine's memory is a function of the logs: over random events that arrive in random order, with an
// engine that dies at random steps and comes back with or without a snapshot, the same offsets give the same bytes as
// an engine that reads the logs from zero, and as the topics read one behind the other; that each crossing of a
// position limit is said exactly once, with its cause; and that every value said is the one at the offsets it names.
#include <gtest/gtest.h>

#include <random>

#include "subscribers/delayed/risk/testing/rig.hpp"

namespace millrace::delayed::risk {
namespace {

using testing::Rig;
using testing::Said;

constexpr std::int64_t kPosition = 50;

Limits limits() {
  return *parse_limits(
      "[defaults]\nposition = 50\ngross_exposure = 3000\nnet_exposure = 2000\nloss = 150\nmargin_use = \"0.5\"",
      "test");
}

// What the logs of the inputs have.
struct Logs {
  template <class T>
  struct One {
    std::vector<std::byte> payload;
    WallTime time;
    [[nodiscard]] const T& event() const { return *flatbuffers::GetRoot<T>(payload.data()); }
  };
  explicit Logs(Rig& rig) {
    const auto into = [](auto& list) {
      return [&list](const auto&, const Event& at) {
        list.push_back({{at.payload().begin(), at.payload().end()}, at.record_time});
      };
    };
    rig.each<schemas::TradeEvent>("trade_events", into(trades));
    rig.each<schemas::MarketL2>("market_l2", into(books));
    rig.each<schemas::AccountEvent>("account_events", into(accounts));
  }
  // The topics up to these offsets, one behind the other.
  [[nodiscard]] State state(Offset trades_end, Offset books_end, Offset accounts_end) const {
    State state;
    const auto apply = [](const auto& list, Offset end, auto& part, Read& read) {
      for (std::uint64_t i = 0; i < end.value(); ++i) {
        part.apply(list[i].event());
        read = {Offset(i + 1), list[i].time};
      }
    };
    apply(accounts, accounts_end, state.accounts, state.accounts_read);
    apply(books, books_end, state.books, state.books_read);
    apply(trades, trades_end, state.trades, state.trades_read);
    return state;
  }

  std::vector<One<schemas::TradeEvent>> trades;
  std::vector<One<schemas::MarketL2>> books;
  std::vector<One<schemas::AccountEvent>> accounts;
};

class Chance {
 public:
  explicit Chance(std::uint32_t seed) : random_(seed), rig_(limits(), {60, std::chrono::hours(1)}) { rig_.start(); }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
    rig_.run();
  }
  Rig& rig() { return rig_; }
  [[nodiscard]] int with_snapshot() const { return with_snapshot_; }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  std::string account() { return std::string(1, static_cast<char>('a' + pick(0, 4))); }
  std::string instrument() { return "I" + std::to_string(pick(0, 2)); }

  void step() {
    const std::int64_t kind = pick(0, 99);
    if (kind < 30) {
      const auto scale = static_cast<std::uint8_t>(pick(0, 2));
      rig_.trade(instrument(), account(), account(), {pick(1800, 2200), scale}, {pick(1, 30), 0});
    } else if (kind < 45) {
      rig_.book(instrument(), pick(0, 5) == 0 ? 0 : pick(1800, 2000), pick(2000, 2200), 2);
    } else if (kind < 55) {
      rig_.account(account(), 1000, pick(0, 1000));
    } else if (kind < 75) {
      const char* const topics[] = {"trade_events", "market_l2", "account_events", "risk_alerts"};
      rig_.bus(topics[pick(0, 3)]).settle();
    } else if (kind < 98) {
      rig_.step();
    } else {
      rig_.die();
      rig_.start(pick(0, 2) != 0);
      with_snapshot_ += rig_.came_back_with_snapshot() ? 1 : 0;
    }
  }

  std::mt19937 random_;
  Rig rig_;
  int with_snapshot_ = 0;
};

// By a rule of its own: who holds more than the limit, and then no more than 90 % of it.
std::vector<std::string> positions_said(const Logs& logs) {
  std::map<std::pair<std::string, std::string>, std::pair<std::int64_t, bool>> held;
  std::vector<std::string> said;
  for (std::size_t i = 0; i < logs.trades.size(); ++i) {
    const auto& trade = logs.trades[i].event();
    const std::string buyer(schemas::text(trade.buyer_account())), seller(schemas::text(trade.seller_account()));
    const std::string instrument(schemas::text(trade.instrument()));
    if (buyer == seller) continue;
    held[{buyer, instrument}].first += trade.quantity();
    held[{seller, instrument}].first -= trade.quantity();
    for (const std::string& account : {buyer, seller}) {
      auto& [quantity, breached] = held[{account, instrument}];
      const std::int64_t size = std::abs(quantity);
      if (breached ? size * 10 > kPosition * 9 : size <= kPosition) continue;
      breached = !breached;
      said.push_back(std::to_string(i) + " " + account + " " + instrument + " " + std::to_string(breached) + " " +
                     std::to_string(size));
    }
  }
  return said;
}

std::vector<std::string> positions_said(const std::vector<Said>& all) {
  std::vector<std::string> said;
  for (const auto& [alert, sequence, publisher] : all) {
    if (alert.kind != RiskLimit::position) continue;
    said.push_back(std::to_string(alert.cause ? alert.cause->value() : 999'999) + " " + alert.account + " " +
                   alert.instrument + " " + std::to_string(alert.state == RiskState::breached) + " " +
                   std::to_string(alert.value));
  }
  return said;
}

// Each value, from nothing but the logs up to the offsets that the alert names.
void expect_values(const std::vector<Said>& all, const Logs& logs) {
  std::map<std::tuple<std::string, std::string, RiskLimit>, RiskState> last;
  for (const auto& [alert, sequence, publisher] : all) {
    SCOPED_TRACE("alert " + std::to_string(sequence.value()));
    const auto before = last.try_emplace({alert.account, alert.instrument, alert.kind}, RiskState::cleared);
    EXPECT_NE(before.first->second, alert.state) << "said twice";
    before.first->second = alert.state;
    const State state = logs.state(alert.trades_end, alert.books_end, alert.accounts_end);
    EXPECT_EQ(alert.input_time, state.newest());
    const auto sums = sums_of(state, alert.account);
    ASSERT_TRUE(sums);
    if (alert.kind == RiskLimit::gross_exposure) {
      EXPECT_EQ(alert.value, units_at(sums->gross, alert.scale));
    }
    if (alert.kind == RiskLimit::net_exposure) {
      EXPECT_EQ(alert.value, units_at(sums->net, alert.scale));
    }
    if (alert.kind == RiskLimit::loss) {
      const Amount result = *add(sums->realised, sums->unrealised);
      EXPECT_EQ(alert.value, units_at({-result.units, result.scale}, alert.scale));
    }
  }
}

TEST(RiskRebuild, TheSameOffsetsGiveTheSameBytesAndEverythingIsSaidOnceWhateverDies) {
  int with_snapshot = 0;
  std::size_t said_in_all = 0;
  for (std::uint32_t seed = 1; seed <= 40 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chance run(seed);
    run.run(600);
    if (::testing::Test::HasFatalFailure()) return;
    Rig& rig = run.rig();
    const auto live = rig.engine().memory().save();
    const auto all = rig.said();
    const Logs logs(rig);
    EXPECT_EQ(positions_said(all), positions_said(logs));
    expect_values(all, logs);

    Memory read_apart;
    read_apart.state = logs.state(Offset(logs.trades.size()), Offset(logs.books.size()), Offset(logs.accounts.size()));
    for (const auto& one : all) read_apart.standing.apply(one.alert);
    read_apart.alerts = Sequence(all.size());
    EXPECT_EQ(read_apart.save(), live) << "the topics one behind the other";

    rig.die();
    rig.start(false);
    rig.run();
    EXPECT_EQ(rig.engine().memory().save(), live) << "from the logs alone";
    rig.die();
    rig.start();
    rig.run();
    EXPECT_EQ(rig.engine().memory().save(), live) << "from the snapshot";
    EXPECT_EQ(rig.said().size(), all.size()) << "nothing is said again";
    with_snapshot += run.with_snapshot();
    said_in_all += all.size();
  }
  EXPECT_GT(with_snapshot, 100) << "too few came back with a snapshot to tell";
  EXPECT_GT(said_in_all, 1000u) << "too little was said to tell";
}

TEST(RiskRebuild, AnEngineWhoseSnapshotHasAllItSaidNeedsNoneOfItsAlertsInTheLog) {
  Rig rig(limits(), {1, std::chrono::hours(1)});
  rig.start();
  rig.trade("MILL", "alice", "bob", {10, 0}, {51, 0});
  rig.run();
  ASSERT_EQ(rig.engine().memory().alerts, Sequence(2));
  rig.run();  // which writes the snapshot
  const auto live = rig.engine().memory().save();
  ASSERT_GT(rig.engine().snapshots_written(), 0u);
  rig.die();
  rig.forget_alerts();
  const Status without = rig.try_to_start(false);
  ASSERT_FALSE(without) << "what stands is not known";
  EXPECT_EQ(without.error().code, ErrorCode::deleted) << without.error().message;
  rig.die();
  rig.start();
  ASSERT_TRUE(rig.came_back_with_snapshot());
  rig.run();
  EXPECT_EQ(rig.engine().memory().save(), live);
  rig.trade("MILL", "bob", "alice", {10, 0}, {51, 0});
  rig.run();
  std::vector<RiskState> states;
  for (const Said& one : rig.said()) {
    if (one.alert.kind == RiskLimit::position) states.push_back(one.alert.state);
  }
  EXPECT_EQ(states, (std::vector{RiskState::cleared, RiskState::cleared})) << "they stood";
}

TEST(RiskRebuild, ASnapshotThatIsNotWholeOrNotOneIsRefused) {
  Rig rig(limits());
  rig.start();
  for (int i = 0; i < 30; ++i) rig.trade("MILL", "alice", "bob", {10, 0}, {3, 0});
  rig.account("alice", 100, 60);
  rig.book("MILL", 9, 11, 0);
  rig.run();
  const auto bytes = enclose(contents_of({}, rig.engine().memory()));
  const auto whole = decode(bytes);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->memory.save(), rig.engine().memory().save());
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode(std::span(bytes).first(size))) << size;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto spoilt = bytes;
    spoilt[i] ^= std::byte{1};
    EXPECT_FALSE(decode(spoilt)) << i;
  }
}

}  // namespace
}  // namespace millrace::delayed::risk
