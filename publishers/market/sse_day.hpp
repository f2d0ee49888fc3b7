// A trading day in Shanghai as the commands that a matching engine must be given to make it again, and what the
// exchange then showed.
//
// The exchange shows an order that trades on arrival only through its trades; an 'A' follows for what remains. So the
// run of trades with one aggressor and that remainder are one order: its limit is the remainder's price, or the last
// trade's if nothing remained. Trades of call auctions are one command, the change of phase that uncrosses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/result.hpp"
#include "publishers/market/sse.hpp"
#include "publishers/matching/instrument.hpp"

namespace millrace::market {

class SseDay {
 public:
  struct TimedCommand {
    matching::Input input;  // its number is the command's index, from 0
    matching::Command command;
  };
  // A snapshot of the continuous phase, and the commands after which its count of trades held: any book from right
  // after `first` to right before `end` may be the one it shows. Both 0 if no command ends at that count.
  struct ExpectedBook {
    TenLevels levels;
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };

  // Reads the whole file. `instrument` is what the commands name; `midnight` the day's in Shanghai.
  [[nodiscard]] static Result<SseDay> load(const std::string& path, matching::InstrumentId instrument,
                                           WallTime midnight);

  // The next command; nullptr at the end of the day.
  [[nodiscard]] const TimedCommand* next() { return next_ < commands_.size() ? &commands_[next_++] : nullptr; }

  [[nodiscard]] const std::vector<TimedCommand>& commands() const { return commands_; }
  [[nodiscard]] const std::vector<SseTrade>& trades() const { return trades_; }  // in the order of events
  [[nodiscard]] const std::vector<ExpectedBook>& books() const { return books_; }
  // Orders entered outside of auctions, without and with trades on arrival.
  [[nodiscard]] std::uint64_t passive_orders() const { return passive_orders_; }
  [[nodiscard]] std::uint64_t aggressive_orders() const { return aggressive_orders_; }
  // How the engine must be set up: scales, tick, the previous close as reference, an auction at the start.
  [[nodiscard]] matching::InstrumentConfig instrument_config(std::string name) const;

 private:
  void reconstruct(const std::vector<SseOrder>& orders);
  void align(const std::vector<SseSnapshot>& snapshots);
  void add(TimeOfDay time, matching::Command command);

  matching::InstrumentId instrument_;
  WallTime midnight_;
  Price previous_close_;
  std::vector<TimedCommand> commands_;
  std::vector<std::uint64_t> trades_by_;  // trades made by the end of each command
  std::vector<SseTrade> trades_;
  std::vector<ExpectedBook> books_;
  std::uint64_t passive_orders_ = 0;
  std::uint64_t aggressive_orders_ = 0;
  std::size_t next_ = 0;
};

}  // namespace millrace::market
