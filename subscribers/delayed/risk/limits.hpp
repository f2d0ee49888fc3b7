// What accounts are allowed, from a TOML file: see README.md for its keys. Numbers are whole or decimals in quotes; a
// floating-point number is refused, for it is not exact.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "bus/base/result.hpp"
#include "subscribers/delayed/risk/amount.hpp"

namespace millrace::delayed::risk {

// What is not there is not limited.
struct AccountLimits {
  std::optional<Amount> position;                        // of each instrument
  std::map<std::string, Amount, std::less<>> positions;  // of these instead
  std::optional<Amount> gross_exposure;
  std::optional<Amount> net_exposure;
  std::optional<Amount> loss;
  std::optional<Amount> margin_use;  // at most 6 digits after the point

  [[nodiscard]] const Amount* position_of(std::string_view instrument) const;
};

struct Limits {
  AccountLimits defaults;
  std::map<std::string, AccountLimits, std::less<>> accounts;  // whole: with what they have of the defaults
  std::int64_t clear_percent = 90;  // what was breached is cleared at so much of its limit, or less
  std::uint64_t max_lag = 100'000;  // events of an input that are recorded and not read yet, before it is stale

  [[nodiscard]] const AccountLimits& of(std::string_view account) const;
};

// Errors: each wrong line as "ORIGIN:LINE:COLUMN: KEY: what is wrong", all of them at once.
[[nodiscard]] Result<Limits> parse_limits(std::string_view text, const std::string& origin);
[[nodiscard]] Result<Limits> load_limits(const std::string& path);

}  // namespace millrace::delayed::risk
