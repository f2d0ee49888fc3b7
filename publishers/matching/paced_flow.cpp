#include "publishers/matching/paced_flow.hpp"

#include <string>

#include "publishers/matching/outlet.hpp"
#include "publishers/matching/translate.hpp"

namespace millrace::matching {

PacedFlow::PacedFlow(OrderFlowConfig config, const Clock& clock)
    : clock_(clock),
      start_(clock.wall()),
      begin_(clock.monotonic()),
      instruments_(config.instruments),
      flow_(starting_at(std::move(config), start_)) {}

OrderFlowConfig PacedFlow::starting_at(OrderFlowConfig config, WallTime start) {
  config.start = start;
  return config;
}

const TimedCommand* PacedFlow::due() {
  if (!next_) next_ = flow_.next();
  const auto lag = (clock_.monotonic() - begin_) - (time() - start_);
  if (lag < std::chrono::nanoseconds(0)) return nullptr;
  if (lag > kLagMax) delay_ += lag;
  return &*next_;
}

void PacedFlow::write(schemas::OrderCommand& event) const {
  const auto& command = next_->command;
  const std::string account = "trader-" + std::to_string(account_of(command).value());
  matching::write(command, instruments_[instrument_of(command).value()], account, time(), event);
}

FlowSource::FlowSource(OrderFlowConfig config, const Clock& clock)
    : flow_(std::move(config), clock), event_(template_.size()) {}

std::optional<SourcedOrder> FlowSource::next() {
  if (flow_.due() == nullptr) return std::nullopt;
  auto* const event = template_.instantiate(event_);
  flow_.write(*event);
  const Input input{flow_.number(), flow_.time()};
  flow_.take();
  return SourcedOrder{event, input, std::nullopt};
}

std::uint64_t FlowPublisher::do_work(MonotonicTime) {
  constexpr std::uint64_t kCommandsPerStep = 64;
  std::uint64_t work = 0;
  while (work < kCommandsPerStep && !error_ && flow_.due() != nullptr) {
    const auto published =
        publisher_.publish<schemas::OrderCommand>([&](schemas::OrderCommand& event) { flow_.write(event); });
    if (!published) {
      if (!may_try_again(published.status)) error_ = publish_error("orders", published.status, publisher_);
      break;
    }
    flow_.take();
    ++work;
  }
  if (work == 0) publisher_.idle();
  return work;
}

}  // namespace millrace::matching
