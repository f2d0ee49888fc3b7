// Where the events of a venue go to: the topics trade_events, order_events and market_l2.
#pragma once

#include <optional>
#include <string>

#include "bus/publisher.hpp"
#include "publishers/matching/venue.hpp"

namespace millrace::matching {

// Whether the same event may go out later. Under the policy `refuse`, too: nothing is ever left out.
[[nodiscard]] bool may_try_again(PublishStatus status);
// Of one after which there is no trying again.
[[nodiscard]] Error publish_error(const std::string& topic, PublishStatus status, const Publisher& publisher);

class Outlet {
 public:
  virtual ~Outlet() = default;
  // One of the venue's outputs(). Waits for nothing. `cause`: offset of the command that led to it.
  [[nodiscard]] virtual PublishStatus publish(const Venue& venue, const Output& output,
                                              std::optional<Offset> cause) = 0;
  // Why an event could not be published for good.
  [[nodiscard]] virtual Error error() const = 0;
  // Tells that the publishers live though they have nothing to say.
  virtual void idle() = 0;
};

class BusOutlet final : public Outlet {
 public:
  // The publishers outlive it.
  struct Publishers {
    Publisher& trades;
    Publisher& orders;
    Publisher& depth;
  };
  explicit BusOutlet(Publishers publishers) : publishers_(publishers) {}

  [[nodiscard]] PublishStatus publish(const Venue& venue, const Output& output, std::optional<Offset> cause) override;
  [[nodiscard]] Error error() const override { return error_; }
  void idle() override;

 private:
  Publishers publishers_;
  Error error_;
};

}  // namespace millrace::matching
