#include "publishers/market/feed.hpp"

#include <utility>

#include "publishers/market/json.hpp"

namespace millrace::market {

Result<std::optional<FeedEvent>> LineFeed::next() {
  while (ready_.empty()) {
    const auto line = lines_.next();
    if (!line) return fail(line.error());
    if (!*line) return std::nullopt;
    if ((*line)->empty()) continue;
    try {
      parse(**line);
    } catch (const Malformed& malformed) {
      return lines_.error(ErrorCode::invalid_argument, malformed.message);
    }
  }
  FeedEvent event = std::move(ready_.front());
  ready_.pop_front();
  return event;
}

}  // namespace millrace::market
