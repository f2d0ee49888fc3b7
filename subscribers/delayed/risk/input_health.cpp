#include "subscribers/delayed/risk/input_health.hpp"

#include <algorithm>

#include "schemas/text.hpp"

namespace millrace::delayed::risk {
namespace {

using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;

bool is_input(std::string_view topic) {
  return std::find(kInputNames.begin(), kInputNames.end(), topic) != kInputNames.end();
}

}  // namespace

void InputHealth::apply(const control::StatusReportT& status) {
  no_more_well();  // who is not in it any more
  for (const auto& topic : status.topics) {
    if (!is_input(topic->name)) continue;
    topics_unwell_[topic->name] = topic->state != control::TopicState::ok;
    for (const auto& publisher : topic->publishers) {
      Known& known = publishers_[{topic->name, publisher->name}];
      switch (publisher->state) {
        case control::PublisherState::healthy:
          known = Known::well;
          break;
        case control::PublisherState::closed:
          known = Known::gone;
          break;
        default:
          known = Known::unwell;
      }
    }
  }
}

void InputHealth::apply(const schemas::HealthEvent& event) {
  const HealthState state = event.new_state();
  if (event.subject() == HealthSubject::core && event.reason() == HealthReason::started) {
    no_more_well();  // who does not come back to the new core is dead, and nobody says so
    for (auto& [topic, unwell] : topics_unwell_) unwell = false;  // the new one says so if its disk is not well
    return;
  }
  const std::string topic(schemas::text(event.topic()));
  if (!is_input(topic)) return;
  if (event.subject() == HealthSubject::topic) topics_unwell_[topic] = state != HealthState::ok;
  if (event.subject() != HealthSubject::publisher) return;
  publishers_[{topic, std::string(schemas::text(event.name()))}] = state == HealthState::healthy  ? Known::well
                                                                   : state == HealthState::closed ? Known::gone
                                                                                                  : Known::unwell;
}

void InputHealth::no_more_well() {
  for (auto& [name, known] : publishers_) {
    if (known == Known::well) known = Known::unwell;
  }
}

void InputHealth::lag(Input input, std::uint64_t behind) {
  bool& lags = lags_[static_cast<std::size_t>(input)];
  lags = behind > (lags ? max_lag_ / 2 : max_lag_);
}

void InputHealth::judge(const Standing& standing, std::vector<Alert>& said) const {
  const auto look = [&](bool stale, RiskReason reason, const std::string& input, const std::string& publisher) {
    if (stale == standing.stale().contains({"", reason, input, publisher})) return;
    Alert alert;
    alert.state = stale ? RiskState::stale : RiskState::fresh;
    alert.reason = reason;
    alert.input = input;
    alert.publisher = publisher;
    said.push_back(std::move(alert));
  };
  look(core_away_, RiskReason::core_away, "", "");
  for (const auto& [topic, unwell] : topics_unwell_) look(unwell, RiskReason::topic_unwell, topic, "");
  for (const auto& [name, known] : publishers_) {
    look(known == Known::unwell, RiskReason::publisher_unwell, name.first, name.second);
  }
  for (std::size_t i = 0; i < kInputs; ++i) {
    look(lags_[i], RiskReason::input_lags, kInputNames[i], "");
    if (missing_[i]) look(true, RiskReason::events_missing, kInputNames[i], "");
  }
}

}  // namespace millrace::delayed::risk
