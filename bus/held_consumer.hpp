// A durable consumer's name without a reader: for who hands the events on to somebody else, and acknowledges what that
// one has dealt with. It takes one of the topic's `readers`, but leases no page.
#pragma once

#include <memory>
#include <optional>

#include "bus/attachment.hpp"
#include "bus/base/result.hpp"

namespace millrace {

// One thread. No call waits for the core. The name is free once this is gone.
class HeldConsumer {
 public:
  // Made by Bus::hold(), with a consumer in the attachment.
  explicit HeldConsumer(Attached<SubscriberAttachment> attached);

  // Where the last owner of the name ended, as of the claim.
  [[nodiscard]] const Position& begin() const { return begin_; }
  // Takes up the next core, where acknowledgements go on. Once it has failed the name is lost for good. Errors: fenced
  // (another process has taken the name over, or it was reset, also while no core was there), and what the next core
  // answered.
  [[nodiscard]] Status look();
  // Everything before `next` was handed on. Tells the core that it lives, and how far it is.
  void handed_on(Offset next);
  // Everything before `end` is dealt with; beyond handed_on() is the caller's mistake. Costs a store; the core makes it
  // durable soon after. Errors: invalid_argument (beyond what was handed on), those of look().
  [[nodiscard]] Status ack(Offset end);
  [[nodiscard]] Offset acked() const { return acked_; }
  // What is durably acknowledged, as far as the core has said.
  [[nodiscard]] Offset checkpoint() const;

 private:
  void show();
  [[nodiscard]] Status adopt();

  std::shared_ptr<SubscriberLink> link_;
  std::shared_ptr<SubscriberAttachment> attachment_;
  Position begin_;
  Offset next_;
  Offset acked_;
  std::optional<Error> lost_;
};

}  // namespace millrace
