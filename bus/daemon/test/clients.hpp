// What tests do on a core as its clients: connect, publish numbered trades, follow them, ask how a topic is.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bus/bus.hpp"
#include "bus/daemon/test/processes.hpp"

namespace millrace::testing {

// Null, and a failure of the test, if it does not come to that.
[[nodiscard]] std::unique_ptr<Bus> connect(const TestCore& core, const BusOptions& options = {.name = "test"});

// The publisher's next trade; the order's id is its sequence, as the puppet's are.
Published publish_numbered(Publisher& publisher);

// What the core says of trade_events; nullopt while it does not answer.
[[nodiscard]] std::optional<control::TopicStatusT> trade_events_status(Bus& bus);

// Follows trade_events from the first. Numbered trades of one publisher: each comes once and in order, and none of an
// epoch behind a later one. What is wrong is a fatal failure.
class Follow {
 public:
  explicit Follow(Bus& bus, Level level = Level::recorded);

  void poll();
  // Polls until there were so many; false if that takes too long, or something is wrong.
  [[nodiscard]] bool until(std::uint64_t count);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Epoch epoch() const { return epoch_; }  // of the last
  [[nodiscard]] const Follower& follower() { return *subscriber_.follower(); }

 private:
  Subscriber subscriber_;
  std::uint64_t count_ = 0;
  Epoch epoch_;
};

}  // namespace millrace::testing
