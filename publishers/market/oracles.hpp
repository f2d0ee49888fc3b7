// Checks against what others recorded: what was published must be what they saw.
//
// An oracle is a source of events and a check. Between the two stands whatever is to be tested: nothing (run_oracle),
// or a bus that the events went through. The check has read its expectations from the files itself.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "publishers/market/replay.hpp"

namespace millrace::market {

struct OracleResult {
  std::string name;
  std::uint64_t matched = 0;
  std::uint64_t expected = 0;

  // Nothing to expect is no success.
  [[nodiscard]] bool passed() const { return expected > 0 && matched == expected; }
};

// Trades must come in the order in which they were published, and so must books; how the two interleave is free.
class OracleCheck {
 public:
  virtual ~OracleCheck() = default;
  // Reads: instrument, number, price, quantity, aggressor, buy_order, sell_order.
  virtual void on_trade(const TradePrint&) {}
  // Reads: instrument, valid_at, levels.
  virtual void on_book(const BookView&) {}
  // After the last event; once.
  [[nodiscard]] virtual std::vector<OracleResult> results() = 0;
};

struct Oracle {
  std::unique_ptr<Replay> replay;
  std::unique_ptr<OracleCheck> check;
};

struct OracleSpec {
  const char* name;
  Result<Oracle> (*open)(const std::string& data_folder);
};
// sse-600519, lobster-amzn, lobster-aapl, binance-spot, binance-futures, kraken, okx, coinbase.
[[nodiscard]] std::span<const OracleSpec> all_oracles();

// Straight from the source to the check.
[[nodiscard]] Result<std::vector<OracleResult>> run_oracle(Oracle oracle);

// The day 2023-02-07 of 600519, for who feeds an engine of its own, and the check of what that engine publishes. Books
// must then be valid at the number of the command that led to them.
[[nodiscard]] Result<SseDay> load_sse_day(const std::string& data_folder, matching::InstrumentId instrument);
[[nodiscard]] std::unique_ptr<OracleCheck> make_sse_check(const SseDay& day);

}  // namespace millrace::market
