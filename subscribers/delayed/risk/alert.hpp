// What the risk engine says on risk_alerts, and what stands of it: which limits are breached, and what is stale. The
// latter is a function of the alerts said so far, so the log of risk_alerts gives it back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "bus/base/ids.hpp"
#include "bus/base/state_bytes.hpp"
#include "schemas/families.hpp"
#include "subscribers/delayed/risk/state.hpp"

namespace millrace::delayed::risk {

using schemas::RiskLimit;
using schemas::RiskReason;
using schemas::RiskState;

// As the event has it, but for the texts.
struct Alert {
  std::string account;
  std::string instrument;
  RiskLimit kind = RiskLimit::none;
  RiskState state = RiskState::breached;
  RiskReason reason = RiskReason::none;
  std::int64_t value = 0;
  std::int64_t limit = 0;
  std::uint8_t scale = 0;
  std::string input;
  std::string publisher;
  std::optional<Offset> cause;    // in `input`
  std::uint16_t cause_index = 0;  // among those of that cause
  Offset trades_end;
  Offset books_end;
  Offset accounts_end;
  WallTime input_time;
};
void write(const Alert& alert, schemas::RiskAlert& event);
[[nodiscard]] Alert read(const schemas::RiskAlert& event);

// Something of which no fresh one was said yet.
struct Staleness {
  std::string account;  // empty: of all
  RiskReason reason;
  std::string input;
  std::string publisher;

  auto operator<=>(const Staleness&) const = default;
};

class Standing {
 public:
  void apply(const Alert& alert);

  [[nodiscard]] bool breached(std::string_view account, std::string_view instrument, RiskLimit kind) const;
  // The account's breaches: instrument and kind.
  using Breaches = std::set<std::pair<std::string, RiskLimit>>;
  [[nodiscard]] const Breaches* breaches(std::string_view account) const;
  [[nodiscard]] const std::set<Staleness>& stale() const { return stale_; }
  // No limit of any account is judged.
  [[nodiscard]] bool all_stale() const;
  [[nodiscard]] bool stale(std::string_view account) const;
  [[nodiscard]] const std::map<std::string, Breaches, std::less<>>& all() const { return breached_; }

  void save(StateWriter& into) const;
  [[nodiscard]] bool restore(StateReader& from);

 private:
  std::map<std::string, Breaches, std::less<>> breached_;
  std::set<Staleness> stale_;
};

}  // namespace millrace::delayed::risk
