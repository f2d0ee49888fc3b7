// Commands from the topic `orders`. Their input number is the offset, their time that of the recording: both are the
// same each time the log is read.
#pragma once

#include "bus/subscriber.hpp"
#include "publishers/matching/order_source.hpp"

namespace millrace::matching {

class TopicSource final : public OrderSource {
 public:
  // Outlived by `subscriber`, at level recorded or synced: an order must never be carried out that the log may not
  // have.
  explicit TopicSource(Subscriber& subscriber);

  [[nodiscard]] std::optional<SourcedOrder> next() override;
  [[nodiscard]] std::optional<Error> error() const override { return subscriber_.follower()->error(); }
  [[nodiscard]] bool at_end() const override;
  void idle() override { subscriber_.idle(); }

  // Behind the last command given.
  [[nodiscard]] Position position() const { return subscriber_.follower()->position(); }

 private:
  Subscriber& subscriber_;
};

}  // namespace millrace::matching
