// A risk engine over buses in memory, one a topic, that may die at any step and come back as the process does.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/testing/memory_bus.hpp"
#include "schemas/decimal.hpp"
#include "subscribers/delayed/risk/engine.hpp"
#include "subscribers/delayed/risk/recovery.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::delayed::risk::testing {

struct Said {
  Alert alert;
  Sequence sequence;
  PublisherId publisher;
};

class Rig {
 public:
  explicit Rig(Limits limits, SnapshotPolicy policy = {1'000'000, std::chrono::hours(1)})
      : limits_(std::move(limits)), policy_(policy) {
    for (const char* topic : {"trade_events", "market_l2", "account_events", "risk_alerts", "system.health"}) {
      millrace::testing::MemoryBusOptions options;
      options.folder = "/log/" + std::string(topic);
      options.type = topic;
      options.files = &disk_;
      options.log.segment_size = 1 << 20;
      options.retention_bytes = 1 << 20;
      buses_[topic] = std::make_unique<millrace::testing::MemoryBus>(options, clock_);
      if (topic != std::string_view("risk_alerts")) publishers_[topic] = buses_[topic]->publisher("maker");
    }
  }

  void trade(std::string_view instrument, std::string_view buyer, std::string_view seller, schemas::Decimal price,
             schemas::Decimal quantity) {
    publish<schemas::TradeEvent>("trade_events", [&](schemas::TradeEvent& event) {
      schemas::set_text(event.mutable_instrument(), instrument);
      schemas::set_text(event.mutable_buyer_account(), buyer);
      schemas::set_text(event.mutable_seller_account(), seller);
      event.mutate_price(price.mantissa);
      event.mutate_price_scale(price.scale);
      event.mutate_quantity(quantity.mantissa);
      event.mutate_quantity_scale(quantity.scale);
    });
  }
  // A side whose price is 0 is not there.
  void book(std::string_view instrument, std::int64_t bid, std::int64_t ask, std::uint8_t scale) {
    publish<schemas::MarketL2>("market_l2", [&](schemas::MarketL2& event) {
      schemas::set_text(event.mutable_instrument(), instrument);
      event.mutate_price_scale(scale);
      const auto set = [](schemas::Levels& side, std::int64_t price) {
        side.mutable_levels()->GetMutablePointer(0)->mutate_price(price);
        side.mutable_levels()->GetMutablePointer(0)->mutate_quantity(price == 0 ? 0 : 1);
      };
      set(*event.mutable_bids(), bid);
      set(*event.mutable_asks(), ask);
    });
  }
  void account(std::string_view name, std::int64_t balance, std::int64_t margin) {
    publish<schemas::AccountEvent>("account_events", [&](schemas::AccountEvent& event) {
      schemas::set_text(event.mutable_account(), name);
      schemas::set_text(event.mutable_currency(), "CNY");
      event.mutate_balance(balance);
      event.mutate_margin(margin);
      event.mutate_scale(2);
    });
  }
  void health(std::string_view topic, std::string_view publisher, schemas::HealthState state) {
    publish<schemas::HealthEvent>("system.health", [&](schemas::HealthEvent& event) {
      event.mutate_subject(schemas::HealthSubject::publisher);
      schemas::set_text(event.mutable_topic(), topic);
      schemas::set_text(event.mutable_name(), publisher);
      event.mutate_new_state(state);
    });
  }
  template <class Event, class Fill>
  void publish(const std::string& topic, Fill&& fill) {
    while (!publishers_[topic]->publish<Event>(fill)) buses_[topic]->step();
  }
  // Bytes that are no event.
  void spoil(const std::string& topic) {
    Publisher& publisher = *publishers_[topic];
    const auto claim = publisher.claim(64);
    ASSERT_EQ(claim.status, PublishStatus::ok);
    std::fill(claim.payload.begin(), claim.payload.end(), std::byte{0xff});
    buses_[topic]->writer_of(publisher).commit({buses_[topic]->type().id(), {}, 0, clock_.wall(), 0}, 64);
  }
  // A finished payload, as a publisher of its own making may have it.
  void publish(const std::string& topic, const flatbuffers::FlatBufferBuilder& event) {
    ASSERT_TRUE(publishers_[topic]->publish(std::as_bytes(std::span(event.GetBufferPointer(), event.GetSize()))));
  }

  void start(bool with_snapshot = true) {
    const Status started = try_to_start(with_snapshot);
    ASSERT_TRUE(started) << started.error().message;
  }
  // As main() does, without a process.
  [[nodiscard]] Status try_to_start(bool with_snapshot) {
    auto& bus = *buses_["risk_alerts"];
    alerts_ = bus.publisher("risk");
    alerts_id_ = alerts_->id();
    const Sequence recorded(alerts_->next_sequence().value() - 1);
    folder_.emplace(*wal::SnapshotFolder::open(disk_, "/snapshots"));
    std::optional<Snapshot> snapshot;
    if (with_snapshot) snapshot = *newest(*folder_, recorded);
    came_back_with_snapshot_ = snapshot.has_value();
    auto trades = input(Input::trades, snapshot);
    auto books = input(Input::books, snapshot);
    auto accounts = input(Input::accounts, snapshot);
    Memory memory;
    if (snapshot) memory = std::move(snapshot->memory);
    auto said = std::move(*bus.subscribe(Level::synced, StartEarliest{}));
    auto last = take_alerts(*said, *alerts_, recorded, memory);
    if (!last) return fail(last.error());
    MILLRACE_TRY(check_reach(Input::trades, *trades, *last));
    MILLRACE_TRY(check_reach(Input::books, *books, *last));
    MILLRACE_TRY(check_reach(Input::accounts, *accounts, *last));
    health_ = std::move(
        *buses_["system.health"]->subscribe(Level::live, StartLatest{}, [this](const Gap&) { health_missed_ = true; }));
    engine_ =
        std::make_unique<Engine>(Engine::Parts{.inputs = {std::move(*trades), std::move(*books), std::move(*accounts)},
                                               .health = health_.get(),
                                               .health_missed = &health_missed_,
                                               .status = [this]() -> Result<control::StatusReportT> {
                                                 if (!status_) return fail(ErrorCode::timed_out, "no answer");
                                                 return *status_;
                                               },
                                               .alerts = alerts_.get(),
                                               .memory = std::move(memory),
                                               .last = std::move(*last),
                                               .input_health = InputHealth(limits_.max_lag),
                                               .snapshots = &*folder_,
                                               .run =
                                                   [](const Engine::Job& job) {  // the disk in memory is of one thread
                                                     std::promise<Status> done;
                                                     done.set_value(job());
                                                     return done.get_future();
                                                   }},
                                 limits_, BatchLimits{.age = std::chrono::milliseconds(1), .events = 7}, policy_);
    return {};
  }
  void die() {
    engine_.reset();
    alerts_.reset();
    buses_["risk_alerts"]->publisher_died("risk");
  }
  // Another engine's alerts fill the log of risk_alerts, until retention has left none of this one's, which is dead.
  void forget_alerts() {
    auto& bus = *buses_["risk_alerts"];
    const auto other = bus.publisher("other");
    const auto has_own = [&] {
      const auto all = said();
      return std::any_of(all.begin(), all.end(), [&](const Said& one) { return one.publisher == alerts_id_; });
    };
    while (has_own()) {
      for (int i = 0; i < 1000; ++i) {
        while (!other->publish<schemas::RiskAlert>([](schemas::RiskAlert&) {})) bus.step();
      }
      bus.settle();
      while (bus.keep_house()) {
      }
    }
    bus.publisher_died("other");
  }
  void settle() {
    for (auto& [topic, bus] : buses_) bus->settle();
  }
  std::uint64_t step() {
    clock_.advance(std::chrono::microseconds(500));
    return engine_->do_work(clock_.monotonic());
  }
  // Until all that there is was read and said.
  void run() {
    for (int quiet = 0; quiet < 10;) {
      settle();
      clock_.advance(std::chrono::milliseconds(2));
      quiet = engine_->do_work(clock_.monotonic()) == 0 && engine_->waiting() == 0 ? quiet + 1 : 0;
      ASSERT_FALSE(engine_->error()) << engine_->error()->message;
    }
    settle();
  }
  // What the core's status says of the publisher, from now on; before, there is no answer.
  void status(const char* topic, const char* publisher, control::PublisherState state) {
    status_.emplace();
    auto& one = status_->topics.emplace_back(std::make_unique<control::TopicStatusT>());
    one->name = topic;
    auto& named = one->publishers.emplace_back(std::make_unique<control::PublisherStatusT>());
    named->name = publisher;
    named->state = state;
  }
  // All that the log of risk_alerts has.
  std::vector<Said> said() {
    std::vector<Said> all;
    auto subscriber = std::move(*buses_["risk_alerts"]->subscribe(Level::synced, StartEarliest{}));
    while (subscriber->poll<schemas::RiskAlert>([&](const schemas::RiskAlert& event, const Event& at) {
      all.push_back({read(event), at.sequence(), at.publisher});
      all.back().alert.cause = at.frame.cause();
    }) > 0) {
    }
    return all;
  }
  template <class T, class Handler>
  void each(const std::string& topic, Handler&& handler) {
    auto subscriber = std::move(*buses_[topic]->subscribe(Level::synced, StartEarliest{}));
    while (subscriber->template poll<T>(handler) > 0) {
    }
  }

  // How often the engine has shown the core that it lives.
  [[nodiscard]] std::uint64_t signs_of_life() { return buses_["risk_alerts"]->writer_of(*alerts_).line().progress; }
  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] bool came_back_with_snapshot() const { return came_back_with_snapshot_; }
  [[nodiscard]] millrace::testing::MemoryBus& bus(const std::string& topic) { return *buses_[topic]; }
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  std::unique_ptr<Subscriber> input(Input which, const std::optional<Snapshot>& snapshot) {
    auto& bus = *buses_[kInputNames[static_cast<std::size_t>(which)]];
    auto subscriber = bus.subscribe(Level::synced, start_of(which, snapshot));
    EXPECT_TRUE(subscriber) << subscriber.error().message;
    return std::move(*subscriber);
  }

  Limits limits_;
  SnapshotPolicy policy_;
  wal::FaultFileSystem disk_;
  ManualClock clock_;
  std::map<std::string, std::unique_ptr<millrace::testing::MemoryBus>> buses_;
  std::map<std::string, std::unique_ptr<Publisher>> publishers_;
  std::unique_ptr<Publisher> alerts_;
  PublisherId alerts_id_;
  std::unique_ptr<Subscriber> health_;
  bool health_missed_ = false;
  std::optional<control::StatusReportT> status_;
  std::optional<wal::SnapshotFolder> folder_;
  std::unique_ptr<Engine> engine_;
  bool came_back_with_snapshot_ = false;
};

}  // namespace millrace::delayed::risk::testing
