// A recording as the stream of events that are published from it. Nothing here waits or knows of a bus.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bus/base/result.hpp"
#include "publishers/market/feed.hpp"
#include "publishers/market/sse_day.hpp"

namespace millrace::market {

class Replay {
 public:
  virtual ~Replay() = default;
  // The next event, nullopt at the end. Do not go on after an error.
  [[nodiscard]] virtual Result<std::optional<MarketEvent>> next() = 0;
};

// Each book update becomes the book after it, each new trade itself; quotes and historical trades are left out.
// `depth_max`: see LevelBook.
[[nodiscard]] std::unique_ptr<Replay> replay_feed(std::unique_ptr<Feed> feed, std::size_t depth_max = 0);

// Each row of the book file, valid at its number from 1. `midnight` of the day in New York.
[[nodiscard]] Result<std::unique_ptr<Replay>> replay_lobster(const std::string& messages, const std::string& books,
                                                             std::string instrument, WallTime midnight);

// The day through a matching engine; books are valid at the number of the command that led to them. internal if the
// engine rejects a command.
[[nodiscard]] Result<std::unique_ptr<Replay>> replay_sse(SseDay day, std::string instrument);

}  // namespace millrace::market
