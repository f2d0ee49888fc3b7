// A recorded feed as a stream of events.
#pragma once

#include <deque>
#include <optional>
#include <string_view>

#include "bus/base/result.hpp"
#include "publishers/market/events.hpp"
#include "publishers/market/line_source.hpp"

namespace millrace::market {

class Feed {
 public:
  virtual ~Feed() = default;
  // The next event in the order of the file, nullopt at its end. Errors name file and line; do not go on after one.
  [[nodiscard]] virtual Result<std::optional<FeedEvent>> next() = 0;
};

// A feed whose every line holds zero or more events.
class LineFeed : public Feed {
 public:
  [[nodiscard]] Result<std::optional<FeedEvent>> next() final;

 protected:
  explicit LineFeed(LineSource lines) : lines_(std::move(lines)) {}
  // Throws Malformed (json.hpp); next() turns it into an error.
  virtual void parse(std::string_view line) = 0;
  void emit(FeedEvent event) { ready_.push_back(std::move(event)); }

 private:
  LineSource lines_;
  std::deque<FeedEvent> ready_;
};

}  // namespace millrace::market
