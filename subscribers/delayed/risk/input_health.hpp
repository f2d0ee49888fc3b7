// Whether the risk engine's inputs can be judged on: what the core says on system.health of their publishers and
// topics, and how far behind the engine itself is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bus/control/codec.hpp"
#include "schemas/families.hpp"
#include "subscribers/delayed/risk/alert.hpp"

namespace millrace::delayed::risk {

enum class Input : std::size_t { trades, books, accounts };
inline constexpr std::size_t kInputs = 3;
inline constexpr std::array<const char*, kInputs> kInputNames{"trade_events", "market_l2", "account_events"};

class InputHealth {
 public:
  explicit InputHealth(std::uint64_t max_lag) : max_lag_(max_lag) {}

  // How things are, at the start and wherever events were missed; then what changes. Events from before the status do
  // no harm.
  void apply(const control::StatusReportT& status);
  void apply(const schemas::HealthEvent& event);
  // `behind`: events that are recorded and not read yet. Stale above max_lag, fresh again at half of that.
  void lag(Input input, std::uint64_t behind);
  void core_away(bool away) { core_away_ = away; }
  // For good: positions that rest on what nobody knows.
  void events_missing(Input input) { missing_[static_cast<std::size_t>(input)] = true; }

  // What there is to say, given what stands. What was stale before this process began, and of which nothing is known
  // yet, stays so.
  void judge(const Standing& standing, std::vector<Alert>& said) const;

 private:
  enum class Known { well, unwell, gone };

  // Those who are, until something is heard of them.
  void no_more_well();

  std::uint64_t max_lag_;
  std::map<std::pair<std::string, std::string>, Known> publishers_;  // by topic and name
  std::map<std::string, bool> topics_unwell_;
  std::array<bool, kInputs> lags_{};
  std::array<bool, kInputs> missing_{};
  bool core_away_ = false;
};

}  // namespace millrace::delayed::risk
