// The seeded order flow at the pace of a clock: as commands for an engine in the same process, or published onto the
// topic `orders`.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/base/clock.hpp"
#include "bus/publisher.hpp"
#include "publishers/matching/order_flow.hpp"
#include "publishers/matching/order_source.hpp"
#include "schemas/event_template.hpp"

namespace millrace::matching {

// Virtual time 0 is the time of construction. Who falls behind by more than kLagMax (a stopped process, a full ring)
// goes on from there at the usual pace, later, instead of making up for it in one burst.
class PacedFlow {
 public:
  static constexpr std::chrono::nanoseconds kLagMax = std::chrono::seconds(1);

  // Sets `config.start`. `clock` outlives it.
  PacedFlow(OrderFlowConfig config, const Clock& clock);

  // The next command if its time has come, else nullptr; stays the next until taken.
  [[nodiscard]] const TimedCommand* due();
  void take() { next_.reset(); }
  [[nodiscard]] InputNumber number() const { return next_->input.number; }
  // When the due command counts as sent.
  [[nodiscard]] WallTime time() const { return next_->input.time + delay_; }
  // The due command as an event; `event` is fresh from its template.
  void write(schemas::OrderCommand& event) const;

 private:
  [[nodiscard]] static OrderFlowConfig starting_at(OrderFlowConfig config, WallTime start);

  const Clock& clock_;
  WallTime start_;
  MonotonicTime begin_;
  std::vector<InstrumentConfig> instruments_;
  OrderFlow flow_;
  std::optional<TimedCommand> next_;
  std::chrono::nanoseconds delay_{0};  // how far virtual time stands behind the clock's
};

// For an engine in the same process.
class FlowSource final : public OrderSource {
 public:
  FlowSource(OrderFlowConfig config, const Clock& clock);
  [[nodiscard]] std::optional<SourcedOrder> next() override;

 private:
  PacedFlow flow_;
  schemas::EventTemplate<schemas::OrderCommand> template_;
  std::vector<std::byte> event_;
};

// Publishes the flow. What the topic does not take now is tried again.
class FlowPublisher final : public Agent {
 public:
  // Of the topic `orders`; `publisher` outlives it.
  FlowPublisher(OrderFlowConfig config, Publisher& publisher, const Clock& clock)
      : flow_(std::move(config), clock), publisher_(publisher) {}

  std::uint64_t do_work(MonotonicTime now) override;
  // Why it stands still, if it does.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  PacedFlow flow_;
  Publisher& publisher_;
  std::optional<Error> error_;
};

}  // namespace millrace::matching
