// The ways back out of the bus: a shared-memory follower, a WebSocket client, the log. The first two read while the
// events are being published.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bus/base/frame.hpp"
#include "bus/bus.hpp"
#include "publishers/market/oracles.hpp"

namespace millrace::oracles {

enum class Via { follower, websocket, log };
[[nodiscard]] std::string to_string(Via via);

// The topics of market data, and an offset in each: where the events of a recording begin or end (excluded).
inline constexpr std::array<const char*, 2> market_topics{"trade_events", "market_l2"};
using Offsets = std::array<Offset, market_topics.size()>;

// What was read of a topic: how much, and a hash over offsets and frames in order.
struct Digest {
  std::uint64_t count = 0;
  std::uint64_t hash = 0;

  void add(Offset offset, const FrameView& frame);
  bool operator==(const Digest&) const = default;
};

// Reads both topics one way and gives all events to a check. Owned by one thread; `bus` outlives it.
class Reading {
 public:
  // Inputs `from` to `end`, excluded, led to the events that are to be checked; a book is then valid at the number of
  // its input, the first one's being 0.
  struct Causes {
    Offset from;
    Offset end;
  };
  struct Source {
    Bus& bus;
    std::uint16_t gateway_port;
    Offsets from;
    std::optional<Causes> causes;  // nullopt: all is to be checked, as it is
  };
  struct Outcome {
    std::vector<market::OracleResult> results;
    std::array<Digest, market_topics.size()> digests;
  };

  Reading(Via via, const Source& source, std::unique_ptr<market::OracleCheck> check);
  ~Reading();

  // Reads in a thread of its own, from now on.
  void start();
  // Reads up to `ends`. Errors: an offset that does not follow, a payload that fails its verifier, a way that gives
  // nothing more for a minute.
  [[nodiscard]] Result<Outcome> finish(const Offsets& ends);

 private:
  [[nodiscard]] Status read();
  [[nodiscard]] Status read_follower();
  [[nodiscard]] Status read_websocket();
  [[nodiscard]] Status read_log();

  [[nodiscard]] bool done(std::size_t topic) const {
    return next_[topic].value() >= ends_[topic].load(std::memory_order_acquire);
  }
  [[nodiscard]] bool done() const { return done(0) && done(1); }
  // Goes on until done() or an error; to be called after each attempt to read.
  [[nodiscard]] bool going();
  void take(std::size_t topic, Offset offset, const FrameView& frame);
  void deliver(const FrameView& frame);

  Via via_;
  Source source_;
  std::unique_ptr<market::OracleCheck> check_;
  std::array<const schemas::EventType*, market_topics.size()> types_{};
  Offsets next_;
  std::array<std::atomic<std::uint64_t>, market_topics.size()> ends_;  // the only words that two threads share
  std::array<Digest, market_topics.size()> digests_;
  MonotonicTime last_event_;
  std::uint64_t taken_ = 0;
  std::uint64_t taken_before_ = 0;  // at last_event_
  Status status_;
  std::thread thread_;
};

// What is in the log of both topics, and of any one.
[[nodiscard]] Result<Offset> recorded_end(Bus& bus, const std::string& topic);
[[nodiscard]] Result<Offsets> recorded_ends(Bus& bus);

// The first event from `from` on that the input at `cause`, or a later one, led to. Waits for it up to a minute.
[[nodiscard]] Result<Offset> first_caused_by(Bus& bus, const std::string& topic, Offset from, Offset cause);

}  // namespace millrace::oracles
