#include "publishers/matching/outlet.hpp"

namespace millrace::matching {
bool may_try_again(PublishStatus status) {
  return status == PublishStatus::back_pressured || status == PublishStatus::refused ||
         status == PublishStatus::disconnected;
}

Error publish_error(const std::string& topic, PublishStatus status, const Publisher& publisher) {
  const auto why = status == PublishStatus::closed ? publisher.error() : Error{};
  return {why.code, "topic '" + topic + "' takes no more events (" + std::string(to_string(status)) + ")" +
                        (why.message.empty() ? std::string() : ": " + why.message)};
}

PublishStatus BusOutlet::publish(const Venue& venue, const Output& output, std::optional<Offset> cause) {
  const auto send = [&]<class Event>(const char* topic, Publisher& publisher, const auto& one) {
    const auto status = publisher.publish<Event>([&](Event& event) { venue.write(one, event); }, cause).status;
    if (status != PublishStatus::ok && !may_try_again(status)) error_ = publish_error(topic, status, publisher);
    return status;
  };
  if (const auto* const trade = std::get_if<Trade>(&output)) {
    return send.operator()<schemas::TradeEvent>("trade_events", publishers_.trades, *trade);
  }
  if (const auto* const report = std::get_if<OrderReport>(&output)) {
    return send.operator()<schemas::OrderEvent>("order_events", publishers_.orders, *report);
  }
  return send.operator()<schemas::MarketL2>("market_l2", publishers_.depth, std::get<DepthChanged>(output));
}

void BusOutlet::idle() {
  publishers_.trades.idle();
  publishers_.orders.idle();
  publishers_.depth.idle();
}

}  // namespace millrace::matching
