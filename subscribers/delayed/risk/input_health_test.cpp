// Proves which inputs are taken to be stale, by what the core says and by how far the engine is behind, and when they
// are fresh again.
#include "subscribers/delayed/risk/input_health.hpp"

#include <gtest/gtest.h>

#include "schemas/event_template.hpp"
#include "schemas/text.hpp"

namespace millrace::delayed::risk {
namespace {

using schemas::HealthEvent;
using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;
using Texts = std::vector<std::string>;

class Health : public ::testing::Test {
 protected:
  void hear(HealthSubject subject, std::string_view topic, std::string_view name, HealthState state,
            HealthReason reason = HealthReason::none) {
    static const schemas::EventTemplate<HealthEvent> blank;
    std::vector<std::uint64_t> memory((blank.size() + 7) / 8);
    HealthEvent& event = *blank.instantiate({reinterpret_cast<std::byte*>(memory.data()), blank.size()});
    event.mutate_subject(subject);
    schemas::set_text(event.mutable_topic(), topic);
    schemas::set_text(event.mutable_name(), name);
    event.mutate_new_state(state);
    event.mutate_reason(reason);
    health_.apply(event);
  }
  // What there is to say now, which stands from then on.
  Texts said() {
    std::vector<Alert> alerts;
    health_.judge(standing_, alerts);
    Texts texts;
    for (const Alert& alert : alerts) {
      standing_.apply(alert);
      texts.push_back(std::string(schemas::EnumNameRiskState(alert.state)) + " " +
                      schemas::EnumNameRiskReason(alert.reason) + " " + alert.input + " " + alert.publisher);
    }
    return texts;
  }
  [[nodiscard]] bool all_stale() const { return standing_.all_stale(); }

  InputHealth health_{10};

 private:
  Standing standing_;
};

TEST_F(Health, AnInputThatLagsIsStaleAboveItsLimitAndFreshAtHalfOfIt) {
  health_.lag(Input::books, 10);
  EXPECT_EQ(said(), Texts{});
  health_.lag(Input::books, 11);
  EXPECT_EQ(said(), Texts{"stale input_lags market_l2 "});
  EXPECT_TRUE(all_stale());
  health_.lag(Input::books, 6);
  EXPECT_EQ(said(), Texts{});
  health_.lag(Input::books, 5);
  EXPECT_EQ(said(), Texts{"fresh input_lags market_l2 "});
  EXPECT_FALSE(all_stale());
}

TEST_F(Health, ACoreThatIsAwayMakesAllStaleUntilItIsBack) {
  health_.core_away(true);
  EXPECT_EQ(said(), Texts{"stale core_away  "});
  EXPECT_TRUE(all_stale());
  EXPECT_EQ(said(), Texts{}) << "it is said once";
  health_.core_away(false);
  EXPECT_EQ(said(), Texts{"fresh core_away  "});
  EXPECT_FALSE(all_stale());
}

TEST_F(Health, WhoWasWellBeforeANewCoreIsNotBelievedToBeUntilThatSaysSo) {
  hear(HealthSubject::publisher, "trade_events", "maker", HealthState::healthy);
  hear(HealthSubject::publisher, "trade_events", "gone", HealthState::closed);
  hear(HealthSubject::topic, "market_l2", "", HealthState::disk_stalled);
  EXPECT_EQ(said(), Texts{"stale topic_unwell market_l2 "});
  hear(HealthSubject::core, "", "", HealthState::healthy, HealthReason::started);
  EXPECT_EQ(said(), (Texts{"fresh topic_unwell market_l2 ", "stale publisher_unwell trade_events maker"}));
  hear(HealthSubject::publisher, "trade_events", "maker", HealthState::healthy);
  EXPECT_EQ(said(), Texts{"fresh publisher_unwell trade_events maker"});
}

TEST_F(Health, ATopicWhoseDiskIsNotWellIsStaleUntilItIs) {
  hear(HealthSubject::topic, "orders", "", HealthState::failed);
  EXPECT_EQ(said(), Texts{}) << "it is no input";
  hear(HealthSubject::topic, "account_events", "", HealthState::failed);
  EXPECT_EQ(said(), Texts{"stale topic_unwell account_events "});
  hear(HealthSubject::topic, "account_events", "", HealthState::ok);
  EXPECT_EQ(said(), Texts{"fresh topic_unwell account_events "});
}

TEST_F(Health, EventsThatWereNeverRecordedMakeItStaleForGood) {
  health_.events_missing(Input::accounts);
  EXPECT_EQ(said(), Texts{"stale events_missing account_events "});
  hear(HealthSubject::core, "", "", HealthState::healthy, HealthReason::started);
  hear(HealthSubject::topic, "account_events", "", HealthState::ok);
  EXPECT_EQ(said(), Texts{});
  EXPECT_TRUE(all_stale());
}

TEST_F(Health, HowThingsAreAtTheStartIsTakenFromTheStatus) {
  control::StatusReportT status;
  const auto topic = [&](const char* name, control::TopicState state) -> control::TopicStatusT& {
    auto& made = status.topics.emplace_back(std::make_unique<control::TopicStatusT>());
    made->name = name;
    made->state = state;
    return *made;
  };
  const auto publisher = [](control::TopicStatusT& of, const char* name, control::PublisherState state) {
    auto& made = of.publishers.emplace_back(std::make_unique<control::PublisherStatusT>());
    made->name = name;
    made->state = state;
  };
  auto& trades = topic("trade_events", control::TopicState::ok);
  publisher(trades, "well", control::PublisherState::healthy);
  publisher(trades, "slow", control::PublisherState::degraded);
  publisher(trades, "gone", control::PublisherState::closed);
  publisher(topic("orders", control::TopicState::failed), "other", control::PublisherState::dead);
  topic("market_l2", control::TopicState::disk_stalled);
  health_.apply(status);
  EXPECT_EQ(said(), (Texts{"stale topic_unwell market_l2 ", "stale publisher_unwell trade_events slow"}));
}

}  // namespace
}  // namespace millrace::delayed::risk
