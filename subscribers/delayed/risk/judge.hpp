// Holds accounts against their limits. What it says follows from the state, the limits and what stands: a breach is
// said once, and cleared once the value is down to `clear_percent` of its limit.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "subscribers/delayed/risk/alert.hpp"
#include "subscribers/delayed/risk/limits.hpp"
#include "subscribers/delayed/risk/state.hpp"

namespace millrace::delayed::risk {

// Of an account, over all instruments it has traded.
struct Sums {
  Amount realised;
  Amount unrealised;
  Amount gross;
  Amount net;
};
// nullopt: a number does not fit.
[[nodiscard]] std::optional<Sums> sums_of(const State& state, std::string_view account);

class Judge {
 public:
  Judge(const State& state, const Limits& limits, const Standing& standing)
      : state_(state), limits_(limits), standing_(standing) {}

  // What there is to say of the account now; nothing while it, or everything, is stale.
  void judge(std::string_view account, std::vector<Alert>& said) const;

 private:
  // Whether there is something to say, given whether it `stands` as breached.
  [[nodiscard]] bool turns(RiskLimit kind, const Amount& value, const Amount* limit, bool stands) const;

  const State& state_;
  const Limits& limits_;
  const Standing& standing_;
};

}  // namespace millrace::delayed::risk
